-- For whoever runs the system: what closed tickets leave behind is removed when somebody asks for it, and dead letters are
-- found by kind and reason and redriven in bulk. Both one bounded batch a call.

-- Retention --------------------------------------------------------------------------------------------------------

create index tickets_by_end on tickets (completed_at, id) where completed_at is not null;

-- A trail goes with its ticket or stays whole: a function that removes the ticket may remove its events after it. No
-- event is ever changed.
create or replace function ticketflow_refuse_event_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('ticketflow.pruning', true) = 'on'
     and not exists (select from tickets where id = old.ticket_id) then
    return old;
  end if;
  raise exception 'events are never updated, and deleted only with their ticket by ticketflow_prune'
    using errcode = 'restrict_violation';
end $$;

-- {before, statuses, whole, dry_run, limit, after: {completed_at, id}} ->
-- {tickets, checkpoints, events, kept, busy, next: {completed_at, id} or null}
-- Looks at up to limit tickets that ended before that time in one of these statuses. From each it removes checkpoints and
-- pending writes; with whole, the ticket and all rows about it. kept: tickets with an open dead letter, which a person
-- may yet redrive. busy: tickets that another transaction holds; they are never waited for.
create function ticketflow_prune(args jsonb) returns jsonb language plpgsql as $$
declare
  whole           constant boolean := (args->>'whole')::boolean;
  dry_run         constant boolean := (args->>'dry_run')::boolean;
  ended_before    constant timestamptz := (args->>'before')::timestamptz;
  page            uuid[];
  last_end        timestamptz;
  pruned          uuid[];
  threads         text[];
  kept            integer;
  busy            integer;
  stripped        integer;
  checkpoint_rows bigint;
  event_rows      bigint := 0;
begin
  select coalesce(array_agg(id order by completed_at, id), '{}'), max(completed_at) into page, last_end from (
    select id, completed_at from tickets
    where completed_at < ended_before and args->'statuses' ? status
      and (not args ? 'after' or
           (completed_at, id) > ((args->'after'->>'completed_at')::timestamptz, (args->'after'->>'id')::uuid))
    order by completed_at, id limit (args->>'limit')::integer) p;
  pruned := array(
    select t.id from tickets t where t.id = any (page) and t.completed_at < ended_before and args->'statuses' ? t.status
    for update skip locked);
  busy := cardinality(page) - cardinality(pruned);
  pruned := array(
    select p.id from unnest(pruned) p(id)
    where not exists (select from dead_letters d where d.ticket_id = p.id and d.redriven_at is null));
  kept := cardinality(page) - busy - cardinality(pruned);
  threads := pruned::text[];
  select count(*), count(distinct thread_id) into checkpoint_rows, stripped
  from checkpoints c where c.thread_id = any (threads);
  if whole then
    select count(*) into event_rows from events e where e.ticket_id = any (pruned);
  end if;
  if not dry_run then
    delete from checkpoint_writes w where w.thread_id = any (threads);
    delete from checkpoints c where c.thread_id = any (threads);
    if whole then
      perform ticketflow_forget(pruned, last_end);
    end if;
  end if;
  return jsonb_build_object(
    'tickets', case when whole then cardinality(pruned) else stripped end,
    'checkpoints', checkpoint_rows, 'events', event_rows, 'kept', kept, 'busy', busy,
    'next', case when cardinality(page) = (args->>'limit')::integer
            then jsonb_build_object('completed_at', last_end, 'id', page[cardinality(page)]) end);
end $$;

-- Whole tickets go, all of which ended by p_last_end. The setting lets their events go too, for these statements alone;
-- as part of the function's declaration it would need a superuser.
create function ticketflow_forget(p_tickets uuid[], p_last_end timestamptz) returns void language plpgsql as $$
begin
  delete from tickets where id = any (p_tickets);
  perform set_config('ticketflow.pruning', 'on', true);
  delete from events where ticket_id = any (p_tickets);
  perform set_config('ticketflow.pruning', '', true);
  delete from leases where ticket_id = any (p_tickets);
  delete from outbox where ticket_id = any (p_tickets);
  delete from timers where ticket_id = any (p_tickets);
  delete from wake_ups where ticket_id = any (p_tickets);
  delete from dead_letters where ticket_id = any (p_tickets);
  -- A key that an intake holds is on its way to another ticket; that intake may wait for one of ours.
  delete from intake_keys where key in (
    select key from intake_keys where created_at <= p_last_end and ticket_id = any (p_tickets)
    for update skip locked);
end $$;

-- What is due ------------------------------------------------------------------------------------------------------

-- As before, but for now() in the place of clock_timestamp(): that one may change from row to row, so no index can be
-- asked for what is before it, and each look read all that is not due yet.

-- {limit, hold_ms, sent: [ids]} -> [{id, ticket_id, lane, reason, headers, created_at}]
-- Deletes what the caller has published and takes the next rows, in one call.
create or replace function ticketflow_outbox_take(args jsonb) returns jsonb language plpgsql as $$
declare
  taken jsonb;
begin
  if jsonb_array_length(coalesce(args->'sent', '[]')) > 0 then
    delete from outbox where id = any (array(select value::bigint from jsonb_array_elements_text(args->'sent')));
  end if;
  with next as (
    select id from outbox where available_at <= now()
    order by available_at, id limit (args->>'limit')::integer for update skip locked
  ), moved as (
    update outbox o
    set available_at = clock_timestamp() + (args->>'hold_ms')::double precision * interval '1 millisecond'
    from next where o.id = next.id returning o.*
  )
  select coalesce(jsonb_agg(jsonb_build_object('id', id, 'ticket_id', ticket_id, 'lane', lane, 'reason', reason,
    'headers', headers, 'created_at', created_at) order by id), '[]') into taken from moved;
  return taken;
end $$;

-- {limit, hold_ms} -> [{ticket_id, kind, ticket: {...}}]; the change that acts on a timer cancels it, guarded by version.
create or replace function ticketflow_timers_due(args jsonb) returns jsonb language sql as $$
  with due as (
    select ticket_id, kind from timers
    where due_at <= now() and taken_until <= now()
    order by due_at limit (args->>'limit')::integer for update skip locked
  ), taken as (
    update timers t
    set taken_until = clock_timestamp() + (args->>'hold_ms')::double precision * interval '1 millisecond'
    from due where t.ticket_id = due.ticket_id and t.kind = due.kind returning t.ticket_id, t.kind
  )
  select coalesce(jsonb_agg(jsonb_build_object('ticket_id', taken.ticket_id, 'kind', taken.kind, 'ticket', to_jsonb(t))),
                  '[]')
  from taken left join tickets t on t.id = taken.ticket_id;
$$;

-- Dead letters -----------------------------------------------------------------------------------------------------

-- {limit, after: {created_at, id}, all, kind?, reason?} -> [dead letter, ...], newest first
create or replace function ticketflow_dead_letters(args jsonb) returns jsonb language plpgsql stable as $$
declare
  found_ jsonb;
begin
  -- Only a condition that stands there by itself lets the open ones be read from their index.
  execute 'select coalesce(jsonb_agg(to_jsonb(d) order by d.created_at desc, d.id desc), ''[]'') from (
    select * from dead_letters
    where ' || case when coalesce((args->>'all')::boolean, false) then 'true' else 'redriven_at is null' end || '
      and (not $1 ? ''kind'' or kind = $1->>''kind'')
      and (not $1 ? ''reason'' or reason = $1->>''reason'')
      and (not $1 ? ''after'' or
           (created_at, id) < (($1->''after''->>''created_at'')::timestamptz, ($1->''after''->>''id'')::uuid))
    order by created_at desc, id desc limit ($1->>''limit'')::integer) d' into found_ using args;
  return found_;
end $$;

-- {limit, after: {created_at, id}, kind?, reason?} -> [{letter, ticket}, ...]: open ones, oldest first; ticket may be null
create function ticketflow_dead_letters_open(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object('letter', to_jsonb(d),
                                               'ticket', (select to_jsonb(t) from tickets t where t.id = d.ticket_id))
                            order by d.created_at, d.id), '[]') from (
    select * from dead_letters
    where redriven_at is null
      and (not args ? 'kind' or kind = args->>'kind')
      and (not args ? 'reason' or reason = args->>'reason')
      and (not args ? 'after' or
           (created_at, id) > ((args->'after'->>'created_at')::timestamptz, (args->'after'->>'id')::uuid))
    order by created_at, id limit (args->>'limit')::integer) d;
$$;

-- {kind?, reason?} -> how many are open
create function ticketflow_dead_letters_left(args jsonb) returns jsonb language sql stable as $$
  select to_jsonb(count(*)) from dead_letters
  where redriven_at is null
    and (not args ? 'kind' or kind = args->>'kind')
    and (not args ? 'reason' or reason = args->>'reason');
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
