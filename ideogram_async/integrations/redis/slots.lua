-- One process says what it holds, what it wants and what it has met. It is told what it holds now.
--
-- KEYS[1]  hash: process -> {expires, holding, waiting}; a call in it is {number, weight, epoch} while it holds places,
--          {number, weight, since, passed} while it waits
-- KEYS[2]  string: what the 429s have taught all of them; it is forgotten some time after the last
-- ARGV     the process, the beginning of the channels that wake one, and what it says; times in milliseconds
--
-- What is said is all there is: a call that is no longer named has given its places back. So nothing has to arrive in
-- order, twice does no harm, and a Redis that has lost everything knows it again after one round.

local WINDOW, PASSES = 16, 16
local LONGEST_PAUSE, REFUSAL, MEMORY = 30000, 2000, 600000

local me, channels, said = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function by_number(calls)
  local found = {}
  for _, call in ipairs(calls) do found[call[1]] = call end
  return found
end

-- Everybody who is alive.

local everybody = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, record = fields[i], cjson.decode(fields[i + 1])
  if record.expires > now or name == me then
    everybody[name] = record
  else
    redis.call('HDEL', KEYS[1], name)
  end
end

-- What 429s have taught.

local learned = redis.call('GET', KEYS[2])
local congestion = learned and cjson.decode(learned)
  or {limit = said.configured, ceiling = said.configured, epoch = 0, opens_at = 0, in_vain = 0, is_probing = false}
congestion.ceiling = math.min(congestion.ceiling, said.configured)
congestion.limit = math.min(congestion.limit, said.configured)

-- What this process has: granted by another one meanwhile, too.

local before = everybody[me] or {holding = {}, waiting = {}}
local held, in_line = by_number(before.holding), by_number(before.waiting)
local mine = {expires = now + said.lease, holding = {}, waiting = {}}
for _, call in ipairs(said.holding) do
  table.insert(mine.holding, held[call[1]] or {call[1], call[2], congestion.epoch})
end
for _, call in ipairs(said.waiting) do
  if held[call[1]] then
    table.insert(mine.holding, held[call[1]])
  else
    table.insert(mine.waiting, in_line[call[1]] or {call[1], call[2], now, 0})
  end
end
everybody[me] = mine

local peers, in_flight, line = 0, 0, {}
for name, record in pairs(everybody) do
  peers = peers + 1
  for _, call in ipairs(record.holding) do in_flight = in_flight + call[2] end
  for _, call in ipairs(record.waiting) do table.insert(line, {owner = name, call = call}) end
end
table.sort(line, function(a, b)
  if a.call[3] ~= b.call[3] then return a.call[3] < b.call[3] end
  if a.call[1] ~= b.call[1] then return a.call[1] < b.call[1] end
  return a.owner < b.owner
end)

-- What it has met: the rules of `limiter/congestion.py`.

local function reject(note)
  local pause = note.retry_after
  if note.epoch == congestion.epoch then
    local own = by_number(mine.holding)[note.number]
    congestion.epoch, congestion.probe = congestion.epoch + 1, nil
    congestion.ceiling = math.min(said.configured, math.max(1, note.told or congestion.ceiling))
    congestion.limit = math.min(congestion.limit, congestion.ceiling, math.max(1, in_flight - (own and own[2] or 0)))
    pause = math.max(pause, math.min(LONGEST_PAUSE, note.pause * 2 ^ math.min(congestion.in_vain, 5)))
    congestion.in_vain = congestion.in_vain + 1
  end
  congestion.opens_at = math.max(congestion.opens_at, now + pause)
  congestion.is_probing = congestion.is_probing or congestion.opens_at > now
end

local function trust()
  congestion.in_vain, congestion.is_probing = 0, false
end

local function accept(note)
  congestion.limit = math.min(congestion.ceiling, congestion.limit + note.weight / congestion.limit)
  if note.epoch == congestion.epoch then trust() end
end

local is_news = false
for _, note in ipairs(said.met) do
  if note.pause then
    reject(note)
    is_news = true
  else
    accept(note)
  end
end

-- Who goes next: the rules of `limiter/line.py`.

local function is_probe_out()
  local probe = congestion.is_probing and congestion.probe
  local owner = probe and everybody[probe[1]]
  return owner and by_number(owner.holding)[probe[2]] ~= nil
end

local function is_held_back()
  return congestion.opens_at > now or is_probe_out()
end

local function choose(room)
  local last = math.min(#line, WINDOW)
  if last > 0 and line[1].call[4] >= PASSES then last = 1 end
  local chosen = nil
  for i = 1, last do
    local weight = line[i].call[2]
    if weight <= room and (not chosen or weight > line[chosen].call[2]) then chosen = i end
  end
  return chosen
end

if is_probe_out() and now >= congestion.trusted_at then trust() end

local changed = {[me] = true}
while not is_held_back() do
  -- A call that wants more than today's limit goes alone.
  local chosen = choose(in_flight > 0 and math.floor(congestion.limit) - in_flight or said.configured)
  if not chosen then break end

  for i = 1, chosen - 1 do
    line[i].call[4] = line[i].call[4] + 1
    changed[line[i].owner] = changed[line[i].owner] or true
  end
  local going = table.remove(line, chosen)
  local record, number, weight = everybody[going.owner], going.call[1], going.call[2]
  for i, call in ipairs(record.waiting) do
    if call[1] == number then table.remove(record.waiting, i) break end
  end
  table.insert(record.holding, {number, weight, congestion.epoch})
  in_flight = in_flight + weight
  changed[going.owner] = 'granted'
  if congestion.is_probing then
    congestion.probe, congestion.trusted_at = {going.owner, number}, now + REFUSAL
  end
end

-- On record, and told.

for name, how in pairs(changed) do
  local record = everybody[name]
  if #record.holding + #record.waiting > 0 then
    redis.call('HSET', KEYS[1], name, cjson.encode(record))
  else
    redis.call('HDEL', KEYS[1], name)
  end
  if how == 'granted' and name ~= me then redis.call('PUBLISH', channels .. name, '') end
end
if redis.call('PTTL', KEYS[1]) < said.lease then redis.call('PEXPIRE', KEYS[1], said.lease) end

if is_news then
  redis.call('SET', KEYS[2], cjson.encode(congestion), 'PX', MEMORY)
elseif learned then
  redis.call('SET', KEYS[2], cjson.encode(congestion), 'KEEPTTL')
end

return cjson.encode({
  holding = mine.holding,
  limit = congestion.limit,
  ceiling = congestion.ceiling,
  epoch = congestion.epoch,
  closed_for = math.max(0, congestion.opens_at - now),
  peers = peers,
})
