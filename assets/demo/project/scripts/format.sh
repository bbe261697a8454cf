#!/bin/sh
# Formats the given files in place: four spaces for a tab, no blanks at the end of a line.
tab=$(printf '\t')
for file in "$@"; do
    old=$(cat "$file" && echo .) || exit 1
    new=$(sed -e "s/$tab/    /g" -e 's/ *$//' "$file" && echo .) || exit 1
    if [ "$new" != "$old" ]; then
        printf '%s' "${new%.}" > "$file"
        echo "formatted $file"
    fi
done
