-- The embedded queue: the same promises as the RabbitMQ adapter for the size where one database is enough.
-- A message that is taken belongs to a consumer; a consumer that stops giving signs of life loses all its messages at once.

create table queue_messages (
  id          bigint generated always as identity primary key,
  lane        text not null,
  body        text not null,
  headers     jsonb not null default '{}',
  deliveries  integer not null default 0,
  consumer    uuid,
  created_at  timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index queue_messages_ready on queue_messages (lane, id) where consumer is null;
create index queue_messages_taken on queue_messages (consumer) where consumer is not null;

create table queue_consumers (
  id      uuid primary key,
  seen_at timestamptz not null
);

-- {messages: [{lane, body, headers}]}
create function ticketflow_queue_put(args jsonb) returns jsonb language sql as $$
  insert into queue_messages (lane, body, headers)
  select value->>'lane', value->>'body', coalesce(value->'headers', '{}') from jsonb_array_elements(args->'messages');
  select to_jsonb(jsonb_array_length(args->'messages'));
$$;

-- {consumer, done: [ids], lanes: {lane: how many}} -> [{id, lane, body, headers, deliveries}]
-- Removes what was settled and takes the next messages, in one call.
create function ticketflow_queue_take(args jsonb) returns jsonb language plpgsql as $$
declare
  me    uuid := (args->>'consumer')::uuid;
  lanes record;
  taken jsonb := '[]';
  part  jsonb;
begin
  if jsonb_array_length(coalesce(args->'done', '[]')) > 0 then
    delete from queue_messages
    where id in (select value::bigint from jsonb_array_elements_text(args->'done')) and consumer = me;
  end if;
  for lanes in select key as lane, value::text::integer as wanted from jsonb_each(args->'lanes') where value::text::integer > 0 loop
    with next as (
      select id from queue_messages where lane = lanes.lane and consumer is null
      order by id limit lanes.wanted for update skip locked
    ), mine as (
      update queue_messages m set consumer = me, deliveries = m.deliveries + 1 from next where m.id = next.id
      returning m.*
    )
    select coalesce(jsonb_agg(to_jsonb(mine) - 'consumer' order by id), '[]') into part from mine;
    taken := taken || part;
  end loop;
  if taken <> '[]' then
    insert into queue_consumers (id, seen_at) values (me, clock_timestamp())
    on conflict (id) do update set seen_at = excluded.seen_at;
  end if;
  return taken;
end $$;

-- {consumer, ids}: put messages back for another consumer.
create function ticketflow_queue_return(args jsonb) returns jsonb language sql as $$
  with back as (
    update queue_messages set consumer = null
    where consumer = (args->>'consumer')::uuid
      and id in (select value::bigint from jsonb_array_elements_text(args->'ids')) returning 1
  ) select to_jsonb(count(*)) from back;
$$;

-- {consumer, id, dead_letter_id, reason, detail, payload}: move a message to the dead letters.
create function ticketflow_queue_reject(args jsonb) returns jsonb language plpgsql as $$
begin
  delete from queue_messages where id = (args->>'id')::bigint and consumer = (args->>'consumer')::uuid;
  if found then
    perform ticketflow_dead_letter_add(args - 'id' || jsonb_build_object('id', args->>'dead_letter_id', 'kind', 'message'));
  end if;
  return 'true';
end $$;

-- {consumer, ttl_ms, keep: [ids]}: a sign of life; frees the messages of consumers that gave none, and those in our own
-- name that we do not know of because the answer that gave them to us was lost. -> number freed
create function ticketflow_queue_beat(args jsonb) returns jsonb language plpgsql as $$
declare
  freed integer;
begin
  insert into queue_consumers (id, seen_at) values ((args->>'consumer')::uuid, clock_timestamp())
  on conflict (id) do update set seen_at = excluded.seen_at;
  delete from queue_consumers where seen_at < clock_timestamp() - (args->>'ttl_ms')::double precision * interval '1 millisecond';
  update queue_messages m set consumer = null
  where m.consumer is not null and (
    not exists (select from queue_consumers c where c.id = m.consumer)
    or m.consumer = (args->>'consumer')::uuid
       and m.id not in (select value::bigint from jsonb_array_elements_text(coalesce(args->'keep', '[]'))));
  get diagnostics freed = row_count;
  return to_jsonb(freed);
end $$;

-- {consumer}: leave in good order; what was not settled goes back.
create function ticketflow_queue_leave(args jsonb) returns jsonb language sql as $$
  update queue_messages set consumer = null where consumer = (args->>'consumer')::uuid;
  delete from queue_consumers where id = (args->>'consumer')::uuid;
  select 'true'::jsonb;
$$;

create function ticketflow_queue_depth(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_object_agg(lane, n), '{}') from (
    select lane, count(*) as n from queue_messages where consumer is null group by lane) d;
$$;
