#!/bin/sh
# usage: tokens.sh TODAY FILE
here=$(dirname "$(readlink -f "$0")")
. "$here/../tokens.conf"
exec awk -v today="$1" -v warn="$warn_days" -f "$here/days.awk" -f "$here/expiry.awk" "$2"
