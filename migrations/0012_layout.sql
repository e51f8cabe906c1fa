-- Tables laid out for their life: what is hot stays small, and what grows costs nothing until it is asked for.
--
-- On a database with tickets in it: texts are indexed anew, about a minute and a half for a million tickets, while everything
-- goes on; after that, writes to tickets wait for the few seconds in which the new indexes are made.

-- Texts ------------------------------------------------------------------------------------------------------------

-- A ticket's words beside it. As an index on the ticket's own row they were cut out of the text, and entered, again with each
-- update that moves the row: at the claim and at the end. They never change.
create table ticket_words (
  ticket_id uuid primary key,
  words     tsvector not null
);
comment on table ticket_words is 'The words of a ticket''s subject and body, for lists with q.';
alter table ticket_words enable row level security;
-- Queued for entry up to this size; a search reads the queue, and whoever fills it enters it.
create index ticket_words_words on ticket_words using gin (words) with (gin_pending_list_limit = 1024);

create function ticketflow_note_words() returns trigger language plpgsql as $$
begin
  insert into ticket_words (ticket_id, words) select id, to_tsvector('simple', subject || ' ' || body) from added;
  return null;
end $$;

insert into ticket_words (ticket_id, words) select id, to_tsvector('simple', subject || ' ' || body) from tickets;

-- From here on writers wait.
lock table tickets in share row exclusive mode;
insert into ticket_words (ticket_id, words)
select id, to_tsvector('simple', subject || ' ' || body) from tickets t
where not exists (select from ticket_words w where w.ticket_id = t.id);
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
  field      text;
  wanted     text[];
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
    conditions := conditions || format('words @@ plainto_tsquery(''simple'', %L)', args->>'q');
  end if;
  if args ? 'created_after' then
    conditions := conditions || format('created_at > %L', (args->>'created_after')::timestamptz);
  end if;
  if args ? 'created_before' then
    conditions := conditions || format('created_at < %L', (args->>'created_before')::timestamptz);
  end if;
  if args ? 'after' then
    conditions := conditions || format('(created_at, id) %s (%L, %L)', case when rising then '>' else '<' end,
      (args->'after'->>'created_at')::timestamptz, (args->'after'->>'id')::uuid);
  end if;
  execute format(
    'select coalesce(jsonb_agg(to_jsonb(t)), ''[]'') from (select tickets.* from tickets %s where %s order by %s limit %L) t',
    case when args ? 'q' then 'join ticket_words on ticket_id = id' end,
    coalesce(nullif(array_to_string(conditions, ' and '), ''), 'true'),
    case when rising then 'created_at, id' else 'created_at desc, id desc' end,
    (args->>'limit')::integer) into found_;
  return found_;
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
  gone uuid[];
begin
  with deleted as (
    delete from tickets where id = any (p_tickets) and completed_at is not null returning id
  ) select array_agg(id) into gone from deleted;
  perform set_config('ticketflow.pruning', 'on', true);
  delete from events where ticket_id = any (gone);
  delete from messages where ticket_id = any (gone);
  perform set_config('ticketflow.pruning', '', true);
  delete from ticket_words where ticket_id = any (gone);
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
