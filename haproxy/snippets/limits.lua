local LIMIT = 10485760

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
    self.bytes = self.bytes + message:input()
    if self.bytes > LIMIT then
        txn:done(txn:reply({status = 413}))
    end
end

core.register_filter("body-limit", BodyLimit, function(instance)
    return instance
end)
