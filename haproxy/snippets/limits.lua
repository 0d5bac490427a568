-- Counts the bytes of a request body that has no announced length, and ends the request above BODY_LIMIT: 413 over
-- HTTP/1.1. Over HTTP/2 and HTTP/3 HAProxy resets the stream, because the client is still sending.
-- Checked by: test_a_body_without_a_length_has_the_same_limit

local LIMIT = tonumber(os.getenv("BODY_BYTES")) -- start.sh

local BodyLimit = {id = "body-limit", flags = filter.FLT_CFG_FL_HTX}
BodyLimit.__index = BodyLimit

function BodyLimit:new()
    return setmetatable({bytes = 0}, BodyLimit)
end

function BodyLimit:start_analyze(txn, channel)
    if not channel:is_resp() then
        -- Over HTTP/1.1 the end of a chunked body counts as one byte: without it a body of exactly that size would be refused.
        self.limit = txn.f:req_ver() == "1.1" and LIMIT + 1 or LIMIT
        filter.register_data_filter(self, channel)
    end
end

function BodyLimit:http_payload(txn, message)
    self.bytes = self.bytes + message:input()
    if self.bytes > self.limit then
        txn:done(txn:reply({status = 413}))
    end
end

core.register_filter("body-limit", BodyLimit, function(instance)
    return instance
end)
