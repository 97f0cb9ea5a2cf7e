-- Between publish_check.lua and publish_live.lua: the body of a live topic, of the events that remain.
body = body .. table.concat(ARGV, '', 5, 4 + events)
messages = 5 + events
