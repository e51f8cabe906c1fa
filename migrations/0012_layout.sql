-- Tables laid out for their life: what is hot stays small, and what grows costs nothing until it is asked for.
--
-- On a database with tickets in it: their texts are indexed anew, some four minutes for a million tickets on two busy cores,
-- while everything goes on. After that, writes to tickets wait until the end, for the seconds that three small indexes take.

-- Texts ------------------------------------------------------------------------------------------------------------

-- A ticket's words beside it. As an index on the ticket's own row they were cut out of the text, and entered, again with each
-- update that moves the row: at the claim and at the end. They never change.
create table ticket_words (
  ticket_id   uuid not null,
  taken_in_at timestamptz not null,
  words       tsvector not null
);
comment on table ticket_words is 'The words of a ticket''s subject and body, for lists with q.';
alter table ticket_words enable row level security;

-- Without the places at which they stand: nobody asks for those, and they are half of the bytes.
create function ticketflow_words(subject text, body text) returns tsvector language sql immutable as $$
  select strip(to_tsvector('simple', $1 || ' ' || $2));
$$;

create function ticketflow_note_words() returns trigger language plpgsql as $$
begin
  insert into ticket_words (ticket_id, taken_in_at, words)
  select id, created_at, ticketflow_words(subject, body) from added;
  return null;
end $$;

insert into ticket_words (ticket_id, taken_in_at, words)
select id, created_at, ticketflow_words(subject, body) from tickets;
-- By time first: ids are random, and each index that begins with one costs a page of its own at every intake, which after a
-- checkpoint goes whole into the log.
alter table ticket_words add primary key (taken_in_at, ticket_id);
-- New rows are queued up to this size; a search reads the queue, and whoever fills it enters them all.
create index ticket_words_words on ticket_words using gin (words) with (gin_pending_list_limit = 1024);

-- From here on writers wait.
lock table tickets in share row exclusive mode;
insert into ticket_words (ticket_id, taken_in_at, words)
select id, created_at, ticketflow_words(subject, body) from tickets t
where not exists (select from ticket_words w where w.taken_in_at = t.created_at and w.ticket_id = t.id);
create trigger tickets_have_words after insert on tickets referencing new table as added
  for each statement execute function ticketflow_note_words();
drop index tickets_text;

-- Indexes ----------------------------------------------------------------------------------------------------------

-- Everything that is not the rule: what a worker, a timer or a person must still look at, and what failed or was cancelled.
create index tickets_open on tickets (status, created_at, id) where status <> 'completed';
drop index tickets_unfinished;
-- What people have. Nearly all tickets are the pipeline's.
create index tickets_of_people on tickets (assignee, created_at, id) where assignee <> 'pipeline';
create index tickets_by_tag on tickets using gin (tags) where tags <> '{}';

-- Space and vacuum -------------------------------------------------------------------------------------------------

-- Rows that come and go by the thousand: dead ones are cleared away before they are a multiple of the living, and without
-- pauses, because there are few pages to go through.
do $$
declare
  name text;
begin
  foreach name in array array['leases', 'outbox', 'timers', 'wake_ups', 'queue_messages', 'queue_consumers'] loop
    execute format('alter table %I set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, '
                   'autovacuum_vacuum_cost_delay = 0)', name);
  end loop;
end $$;
-- Updated in place, key and index entries untouched, as long as the page has room.
-- A ticket is written some seven times within seconds: at 80, a third of that found room, at 65 three fifths, and the table
-- stays smaller than with the versions that moved.
alter table tickets set (fillfactor = 65);
alter table timers set (fillfactor = 70);
alter table wake_ups set (fillfactor = 70);
alter table queue_consumers set (fillfactor = 70);

-- The default waits for a fifth of the table, which at a million tickets is a day in which counts and plans are stale.
alter table tickets set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
alter table checkpoints set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
-- Never updated: what is vacuumed once can be frozen at once, so that no vacuum against wraparound ever has to go through
-- years of trail.
alter table events set (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
                        autovacuum_freeze_min_age = 0);
alter table messages set (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_freeze_min_age = 0);
alter table ticket_words set (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_freeze_min_age = 0);

-- What does not fit into a page's quarter is compressed, and lz4 takes a fraction of pglz's time. New values only; not every
-- server was built with it.
do $$
declare
  part record;
begin
  for part in
    select attrelid::regclass as name, attname as col from pg_attribute
    where attrelid = any (array['tickets', 'events', 'messages', 'checkpoints', 'checkpoint_writes']::regclass[])
      and attnum > 0 and not attisdropped and attstorage = 'x' and atttypid in ('text'::regtype, 'jsonb'::regtype)
  loop
    execute format('alter table %s alter column %I set compression lz4', part.name, part.col);
  end loop;
exception when feature_not_supported then
  null;
end $$;

-- Looks that begin where the last one ended -----------------------------------------------------------------------------

-- What was taken and deleted keeps its place in the indexes until a vacuum may remove it, and none may while any transaction
-- is old enough to see it: a dump, a forgotten session, a standby. A look from the very beginning then goes through all that
-- was ever done since. So callers say from where on something new can be; now and then they look from the beginning, for
-- what came back or was committed late.

-- {limit, hold_ms, sent: [ids], since?} -> [{id, ticket_id, lane, reason, headers, created_at, due_at}]
-- Deletes what the caller has published and takes the next rows, in one call; since: none that was due before.
create or replace function ticketflow_outbox_take(args jsonb) returns jsonb language plpgsql as $$
declare
  since constant timestamptz := coalesce((args->>'since')::timestamptz, '-infinity');
  taken jsonb;
begin
  if jsonb_array_length(coalesce(args->'sent', '[]')) > 0 then
    delete from outbox where id = any (array(select value::bigint from jsonb_array_elements_text(args->'sent')));
  end if;
  with next as (
    select id, available_at from outbox where available_at <= now() and available_at >= since
    order by available_at, id limit (args->>'limit')::integer for update skip locked
  ), moved as (
    update outbox o
    set available_at = clock_timestamp() + (args->>'hold_ms')::double precision * interval '1 millisecond'
    from next where o.id = next.id returning o.*, next.available_at as due_at
  )
  select coalesce(jsonb_agg(jsonb_build_object('id', id, 'ticket_id', ticket_id, 'lane', lane, 'reason', reason,
    'headers', headers, 'created_at', created_at, 'due_at', due_at) order by id), '[]') into taken from moved;
  return taken;
end $$;

-- {limit, hold_ms, kinds, since?} -> [{ticket_id, kind, due_at, ticket: {...}}]; the change that acts on a timer cancels it, guarded
-- by version. A timer that means nothing is dropped by who takes it, so a release gets none that only a later one knows.
create or replace function ticketflow_timers_due(args jsonb) returns jsonb language plpgsql as $$
declare
  since constant timestamptz := coalesce((args->>'since')::timestamptz, '-infinity');
  found_ jsonb;
begin
  with due as (
    select ticket_id, kind, due_at from timers
    where due_at <= now() and due_at >= since and taken_until <= now()
      and (kind <> all (array['retry', 'close'])
           or kind = any (array(select jsonb_array_elements_text(coalesce(args->'kinds', '["retry"]')))))
    order by due_at limit (args->>'limit')::integer for update skip locked
  ), taken as (
    update timers t
    set taken_until = clock_timestamp() + (args->>'hold_ms')::double precision * interval '1 millisecond'
    from due where t.ticket_id = due.ticket_id and t.kind = due.kind returning t.ticket_id, t.kind, due.due_at
  )
  select coalesce(jsonb_agg(jsonb_build_object('ticket_id', taken.ticket_id, 'kind', taken.kind, 'due_at', taken.due_at,
                                               'ticket', to_jsonb(t))),
                  '[]') into found_
  from taken left join tickets t on t.id = taken.ticket_id;
  return found_;
end $$;

-- {consumer, done: [ids], lanes: {lane: how many}, from?: {lane: id}} -> [{id, lane, body, headers, deliveries}]
-- Removes what was settled and takes the next messages, in one call; from: none with a lower id.
create or replace function ticketflow_queue_take(args jsonb) returns jsonb language plpgsql as $$
declare
  me    constant uuid := (args->>'consumer')::uuid;
  lanes record;
  taken jsonb := '[]';
  part  jsonb;
begin
  if jsonb_array_length(coalesce(args->'done', '[]')) > 0 then
    delete from queue_messages
    where id = any (array(select value::bigint from jsonb_array_elements_text(args->'done'))) and consumer = me;
  end if;
  for lanes in
    select key as lane, value::text::integer as wanted, coalesce((args->'from'->>key)::bigint, 0) as first
    from jsonb_each(args->'lanes') where value::text::integer > 0
  loop
    with next as (
      select id from queue_messages where lane = lanes.lane and consumer is null and id >= lanes.first
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


-- Lists -----------------------------------------------------------------------------------------------------------

-- {filters..., sort: created_at | -created_at, limit, after: {created_at, id}} -> [ticket, ...]
-- The values stand in the query as what they are, so that the planner sees how rare they are: for a common one it goes
-- through the newest tickets until the page is full, for a rare one it takes the index that knows them.
create or replace function ticketflow_tickets(args jsonb) returns jsonb language plpgsql stable as $$
declare
  conditions text[] := '{}';
  rising     constant boolean := coalesce(args->>'sort', '-created_at') = 'created_at';
  words_     constant tsquery := plainto_tsquery('simple', args->>'q');
  field      text;
  wanted     text[];
  hits       uuid[];
  source     text := 'tickets';
  place      text := 'created_at, id';
  found_     jsonb;
begin
  foreach field in array array['status', 'category', 'priority', 'team', 'customer_id', 'channel', 'lifecycle', 'assignee'] loop
    if args ? field then
      wanted := array(select jsonb_array_elements_text(args->field));
      conditions := conditions || case when cardinality(wanted) = 1 then format('%I = %L', field, wanted[1])
                                       else format('%I = any (%L)', field, wanted) end;
    end if;
  end loop;
  if args ? 'tag' then
    -- The second says what the first means, for the index that has only those.
    conditions := conditions || format('tags @> %L and tags <> ''{}''', array[args->>'tag']);
  end if;
  if args ? 'q' then
    -- Statistics know common words and guess at rare ones. Few tickets with them are all fetched; where there are many, the
    -- newest are gone through, of which enough will have them.
    hits := array(select ticket_id from ticket_words where words @@ words_ limit 2001);
    if cardinality(hits) > 2000 then
      conditions := conditions || format('words @@ %L', words_);
      source := 'ticket_words join tickets on id = ticket_id';
      place := 'taken_in_at, ticket_id';
    else
      conditions := conditions || 'id = any ($1)'::text;
    end if;
  end if;
  if args ? 'created_after' then
    conditions := conditions || format('%s > %L', split_part(place, ',', 1), (args->>'created_after')::timestamptz);
  end if;
  if args ? 'created_before' then
    conditions := conditions || format('%s < %L', split_part(place, ',', 1), (args->>'created_before')::timestamptz);
  end if;
  if args ? 'after' then
    conditions := conditions || format('(%s) %s (%L, %L)', place, case when rising then '>' else '<' end,
      (args->'after'->>'created_at')::timestamptz, (args->'after'->>'id')::uuid);
  end if;
  execute format(
    'select coalesce(jsonb_agg(to_jsonb(t)), ''[]'') from (select tickets.* from %s where %s order by %s limit %L) t',
    source, coalesce(nullif(array_to_string(conditions, ' and '), ''), 'true'),
    case when rising then place else replace(place, ',', ' desc,') || ' desc' end,
    (args->>'limit')::integer) into found_ using hits;
  return found_;
end $$;

-- {after: id, limit} -> [{ticket, events, lease, timers, outbox, open_dead_letters, checkpoints, messages}] for the consistency
-- audit. Page and limit stand in the query: for unknown ones the planner takes a tenth of the table.
create or replace function ticketflow_audit(args jsonb) returns jsonb language plpgsql stable as $$
declare
  page uuid[];
begin
  execute format('select array(select id from tickets where id > %L order by id limit %L)',
                 coalesce((args->>'after')::uuid, '00000000-0000-0000-0000-000000000000'), args->>'limit') into page;
  return (select coalesce(jsonb_agg(jsonb_build_object(
    'ticket', to_jsonb(t),
    'events', (select coalesce(jsonb_agg(to_jsonb(e) order by e.seq), '[]') from events e where e.ticket_id = t.id),
    'lease', (select to_jsonb(l) from leases l where l.ticket_id = t.id),
    'timers', (select coalesce(jsonb_agg(to_jsonb(m)), '[]') from timers m where m.ticket_id = t.id),
    'outbox', (select count(*) from outbox o where o.ticket_id = t.id),
    'checkpoints', (select coalesce(jsonb_agg(c.checkpoint_id order by c.position), '[]') from checkpoints c
                    where c.thread_id = t.id::text and c.checkpoint_ns = ''),
    'messages', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'seq', m.seq, 'kind', m.kind, 'author', m.author)
                                           order by m.seq), '[]') from messages m where m.ticket_id = t.id),
    'open_dead_letters', (select count(*) from dead_letters d where d.ticket_id = t.id and d.kind = 'ticket'
                            and d.redriven_at is null))
    order by t.id), '[]')
  from tickets t where t.id = any (page));
end $$;

-- Retention --------------------------------------------------------------------------------------------------------

-- How far something has come that goes through all tickets by the time at which they ended.
create table marks (
  name         text primary key,
  completed_at timestamptz not null,
  id           uuid not null
);
comment on table marks is 'How far upkeep has come that goes through all tickets in the order in which they ended.';
alter table marks enable row level security;

-- {before, statuses, limit} -> {tickets, checkpoints, kept, busy, more}
-- The next tickets that ended before that time in one of these statuses give up their checkpoints, as with ticketflow_prune. One
-- process at a time goes on where the last one stopped. One that ends again later comes again; busy and kept ones do not.
create function ticketflow_prune_next(args jsonb) returns jsonb language plpgsql as $$
declare
  mark   marks%rowtype;
  pruned jsonb;
begin
  if not pg_try_advisory_xact_lock(7236428003) then
    return '{"tickets": 0, "checkpoints": 0, "kept": 0, "busy": 0, "more": false}';
  end if;
  select * into mark from marks where name = 'checkpoints';
  pruned := ticketflow_prune(args || '{"whole": false, "dry_run": false}' || case when found then
    jsonb_build_object('after', jsonb_build_object('completed_at', mark.completed_at, 'id', mark.id)) else '{}' end);
  insert into marks (name, completed_at, id)
  values ('checkpoints', coalesce((pruned->'next'->>'completed_at')::timestamptz, (args->>'before')::timestamptz),
          coalesce((pruned->'next'->>'id')::uuid, '00000000-0000-0000-0000-000000000000'))
  on conflict (name) do update set completed_at = excluded.completed_at, id = excluded.id;
  return pruned - 'next' - 'events' || jsonb_build_object('more', pruned->'next' <> 'null');
end $$;

-- Whole tickets go, of those that are over. As the owner, for callers that may not delete themselves; p_last_end is a time by
-- which all of them had ended.
create or replace function ticketflow_forget(p_tickets uuid[], p_last_end timestamptz) returns void
language plpgsql security definer as $$
declare
  gone  uuid[];
  times timestamptz[];
begin
  with deleted as (
    delete from tickets where id = any (p_tickets) and completed_at is not null returning id, created_at
  ) select array_agg(id), array_agg(created_at) into gone, times from deleted;
  perform set_config('ticketflow.pruning', 'on', true);
  delete from events where ticket_id = any (gone);
  delete from messages where ticket_id = any (gone);
  perform set_config('ticketflow.pruning', '', true);
  delete from ticket_words w using unnest(times, gone) d (created_at, id)
  where w.taken_in_at = d.created_at and w.ticket_id = d.id;
  delete from leases where ticket_id = any (gone);
  delete from outbox where ticket_id = any (gone);
  delete from timers where ticket_id = any (gone);
  delete from wake_ups where ticket_id = any (gone);
  delete from dead_letters where ticket_id = any (gone);
  -- A key that an intake holds is on its way to another ticket; that intake may wait for one of ours.
  delete from intake_keys where key in (
    select key from intake_keys where created_at <= p_last_end and ticket_id = any (gone)
    for update skip locked);
end $$;

do $$
begin
  execute format('alter function ticketflow_forget(uuid[], timestamptz) set search_path = pg_catalog, %I, pg_temp',
                 current_schema());
end $$;

-- Every table of ours: beside them in the schema may stand somebody else's.
create or replace function ticketflow_tables() returns text[] language sql immutable as $$
  select array['tickets', 'ticket_words', 'events', 'messages', 'leases', 'outbox', 'timers', 'intake_keys', 'wake_ups',
               'dead_letters', 'checkpoints', 'checkpoint_writes', 'articles', 'passages', 'queue_messages',
               'queue_consumers', 'tokens', 'marks', 'schema_migrations'];
$$;

do $$
declare
  f regprocedure;
begin
  for f in select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = current_schema() and p.proname like 'ticketflow\_%'
  loop
    execute format('revoke execute on function %s from public', f);
  end loop;
end $$;
