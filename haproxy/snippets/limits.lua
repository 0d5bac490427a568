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
        filter.register_data_filter(self, channel)
    end
end

function BodyLimit:http_payload(txn, message)
    -- (!) Not message:input(), which counts the end of a message as a byte, over HTTP/1.1 always and over HTTP/2 at times.
    self.bytes = self.bytes + #(message:body() or "")
    if self.bytes > LIMIT then
        txn:done(txn:reply({status = 413}))
    end
end

core.register_filter("body-limit", BodyLimit, function(instance)
    return instance
end)
