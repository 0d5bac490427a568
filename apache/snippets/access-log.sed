# Turns Apache's escapes into those of JSON. Apache doubles a backslash of the client. The first line hides such pairs from
# the other lines, and the last line brings them back.
s/\\\\/\x01/g
s/\\x/\\u00/g
s/\\v/\\u000b/g
s/\x01/\\\\/g
