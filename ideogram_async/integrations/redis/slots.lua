-- Sync of one process: record its held slots, queued calls and outcomes, grant free slots, return the slots that it holds.
--
-- KEYS[1]  hash: process -> {expires, configured, holding, waiting}; a call in it is {number, weight, epoch} while it holds slots,
--          {number, weight, since, skipped} while it waits
-- KEYS[2]  string: the congestion state of the account; it expires some time after the last 429
-- ARGV     the process, the prefix of the channels that wake one, and the update as JSON; times in milliseconds
--
-- An update is complete: a call that it does not contain has released its slots. Updates may therefore arrive twice or
-- out of order, and one sync of each process restores a Redis that has lost its data.

local UNLIMITED = 1e9
local me, channels, update = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function by_number(calls)
  local index = {}
  for _, call in ipairs(calls) do index[call[1]] = call end
  return index
end

-- Processes that are alive.

local processes = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, record = fields[i], cjson.decode(fields[i + 1])
  if record.expires > now or name == me then
    processes[name] = record
  else
    redis.call('HDEL', KEYS[1], name)
  end
end

-- Congestion state.

-- The configured limits are not part of it: that of a process ends with its lease.
local stored = redis.call('GET', KEYS[2])
local congestion = stored and cjson.decode(stored)
  or {limit = UNLIMITED, ceiling = UNLIMITED, epoch = 0, opens_at = 0, gates = 0, is_probing = false}

-- Calls of this process, with the slots that another process has granted since the last sync.

local before = processes[me] or {holding = {}, waiting = {}}
local held, queued = by_number(before.holding), by_number(before.waiting)
local mine = {expires = now + update.lease, configured = update.configured, holding = {}, waiting = {}}
for _, call in ipairs(update.holding) do
  table.insert(mine.holding, held[call[1]] or {call[1], call[2], congestion.epoch})
end
for _, call in ipairs(update.waiting) do
  if held[call[1]] then
    table.insert(mine.holding, held[call[1]])
  else
    table.insert(mine.waiting, queued[call[1]] or {call[1], call[2], now, 0})
  end
end
processes[me] = mine

local peers, in_flight, queue, smallest = 0, 0, {}, update.configured
for name, record in pairs(processes) do
  peers = peers + 1
  smallest = math.min(smallest, record.configured)
  for _, call in ipairs(record.holding) do in_flight = in_flight + call[2] end
  for _, call in ipairs(record.waiting) do table.insert(queue, {owner = name, call = call}) end
end
table.sort(queue, function(a, b)
  if a.call[3] ~= b.call[3] then return a.call[3] < b.call[3] end
  if a.call[1] ~= b.call[1] then return a.call[1] < b.call[1] end
  return a.owner < b.owner
end)

-- Outcomes of calls: the rules of `Congestion`.

local function limit()
  return math.min(congestion.limit, smallest)
end

local function reject(outcome)
  local pause = outcome.retry_after
  if outcome.epoch == congestion.epoch then
    local own = by_number(mine.holding)[outcome.number]
    local others = in_flight - (own and own[2] or 0)
    congestion.epoch, congestion.probe = congestion.epoch + 1, nil
    congestion.ceiling = math.max(1, outcome.server_limit or congestion.ceiling)
    congestion.limit = math.min(limit(), congestion.ceiling, math.max(1, others))
    pause = math.max(pause, math.min(update.max_pause, outcome.pause * 2 ^ math.min(congestion.gates, 5)))
    congestion.gates = congestion.gates + 1
  end
  congestion.opens_at = math.max(congestion.opens_at, now + pause)
  congestion.is_probing = congestion.is_probing or congestion.opens_at > now
end

local function reset_backoff()
  congestion.gates, congestion.is_probing = 0, false
end

local function accept(outcome)
  congestion.limit = math.min(congestion.ceiling, congestion.limit + outcome.weight / congestion.limit)
  if outcome.epoch == congestion.epoch then reset_backoff() end
end

local has_rejection = false
for _, outcome in ipairs(update.outcomes) do
  if outcome.pause then
    reject(outcome)
    has_rejection = true
  else
    accept(outcome)
  end
end

-- Grants: the rules of `Slots` and `choose`.

local function is_probe_out()
  local probe = congestion.is_probing and congestion.probe
  local owner = probe and processes[probe[1]]
  return owner and by_number(owner.holding)[probe[2]] ~= nil
end

local function is_gated()
  return congestion.opens_at > now or is_probe_out()
end

local function choose(free)
  local last = math.min(#queue, update.window)
  if last > 0 and queue[1].call[4] >= update.max_skips then last = 1 end
  local chosen = nil
  for i = 1, last do
    local weight = queue[i].call[2]
    if weight <= free and (not chosen or weight > queue[chosen].call[2]) then chosen = i end
  end
  return chosen
end

if is_probe_out() and now >= congestion.probe_ends_at then reset_backoff() end

local changed = {[me] = true}
while not is_gated() do
  -- A call that needs more than the current limit is sent alone.
  local chosen = choose(in_flight > 0 and math.floor(limit()) - in_flight or update.configured)
  if not chosen then break end

  for i = 1, chosen - 1 do
    queue[i].call[4] = queue[i].call[4] + 1
    changed[queue[i].owner] = changed[queue[i].owner] or true
  end
  local granted = table.remove(queue, chosen)
  local record, number, weight = processes[granted.owner], granted.call[1], granted.call[2]
  for i, call in ipairs(record.waiting) do
    if call[1] == number then table.remove(record.waiting, i) break end
  end
  table.insert(record.holding, {number, weight, congestion.epoch})
  in_flight = in_flight + weight
  changed[granted.owner] = 'granted'
  if congestion.is_probing then
    congestion.probe, congestion.probe_ends_at = {granted.owner, number}, now + update.refusal_time
  end
end

-- Write the changed processes, and wake those that were granted slots.

for name, change in pairs(changed) do
  local record = processes[name]
  if #record.holding + #record.waiting > 0 then
    redis.call('HSET', KEYS[1], name, cjson.encode(record))
  else
    redis.call('HDEL', KEYS[1], name)
  end
  if change == 'granted' and name ~= me then redis.call('PUBLISH', channels .. name, '') end
end
if redis.call('PTTL', KEYS[1]) < update.lease then redis.call('PEXPIRE', KEYS[1], update.lease) end

if has_rejection then
  redis.call('SET', KEYS[2], cjson.encode(congestion), 'PX', update.congestion_lifetime)
elseif stored then
  redis.call('SET', KEYS[2], cjson.encode(congestion), 'KEEPTTL')
end

return cjson.encode({
  holding = mine.holding,
  limit = limit(),
  ceiling = math.min(congestion.ceiling, smallest),
  smallest = smallest,
  epoch = congestion.epoch,
  closed_for = math.max(0, congestion.opens_at - now),
  peers = peers,
})
