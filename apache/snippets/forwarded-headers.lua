-- Removes every header of a request whose name matches the variable `reserved` (forwarded-headers.conf).
-- Checked by: test_no_reserved_header_of_a_client_reaches_the_app

local IGNORE_CASE = 1

function remove(r)
    local reserved = r.subprocess_env["reserved"]
    for name in pairs(r:headers_in_table()) do
        if r:regex(name, reserved, IGNORE_CASE) then
            r.headers_in[name] = nil
        end
    end
    return apache2.DECLINED
end
