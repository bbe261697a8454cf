# Days since 1970-01-01 of a date written YYYY-MM-DD (the year is counted from March, so that a leap day ends it).
function days(date,    part, year, month, day, era, of_era, of_year) {
    split(date, part, "-")
    year = part[1] + 0
    month = part[2] + 0
    day = part[3] + 0
    if (month < 2) year--
    era = int(year / 400)
    of_era = year - era * 400
    of_year = int((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
    return era * 146097 + of_era * 365 + int(of_era / 4) - int(of_era / 100) + of_year - 719468
}
