# Apache's escapes as JSON's. A backslash that the client wrote comes as two: out of the way first, and back at the end.
s/\\\\/\x01/g
s/\\x/\\u00/g
s/\\v/\\u000b/g
s/\x01/\\\\/g
