# Reads NAME|ISSUED|LIFETIME, prints each name with its state and the days that are left.
BEGIN {
    FS = "|"
    now = days(today)
}

/^#/ || NF < 3 { next }

{
    age = now - days($2)
    left = $3 - age
    if (age >= $3)
        state = "expired"
    else if (left <= warn)
        state = "ending"
    else
        state = "valid"
    printf "%-8s %-8s %d\n", $1, state, left
}
