-- People: where a ticket stands in its lifecycle and with whom, and what was said about it.
-- Everything that the release before calls keeps its name and its meaning.

alter table tickets add column lifecycle text not null default 'new', add column assignee text;
comment on column tickets.lifecycle is 'The place that holds the token of the ticket''s net, see src/ticketflow/domain/lifecycle.py.';
comment on column tickets.assignee is 'The subject of a person, ''pipeline'', or null while nobody has it.';

create table messages (
  id         uuid primary key,
  ticket_id  uuid not null,
  seq        integer not null,
  kind       text not null,
  author     text not null,
  body       text not null,
  created_at timestamptz not null,
  author_role text not null generated always as (split_part(author, ':', 1)) stored
);
comment on column messages.author_role is 'What of the author a customer may know.';
comment on table messages is 'What was said about a ticket, in public (reply) or not (note, suggestion); never changed.';
comment on column messages.seq is 'Of the event in the ticket''s trail.';
create index messages_by_ticket on messages (ticket_id, seq);
alter table messages enable row level security;

create or replace function ticketflow_store(t tickets) returns void language sql as $$
  update tickets set
    status = $1.status, waiting_for = $1.waiting_for, category = $1.category, priority = $1.priority, tags = $1.tags,
    team = $1.team, lifecycle = $1.lifecycle, assignee = $1.assignee, result = $1.result, error = $1.error, version = $1.version, attempt = $1.attempt,
    excused_attempts = $1.excused_attempts,
    flow_version = $1.flow_version, started_at = $1.started_at, completed_at = $1.completed_at,
    updated_at = $1.updated_at
  where id = $1.id;
$$;

-- Whether people have the ticket, or had it last, and not the pipeline; the same as Ticket.with_pipeline says the other way round.
create function ticketflow_has_person(t tickets) returns boolean language sql immutable as $$
  select $1.lifecycle <> 'new' and not ($1.lifecycle in ('in_progress', 'pending_customer') and $1.assignee = 'pipeline');
$$;

-- A lease also guards the place and the assignee, where they matter; messages and delayed wake-ups travel along.
create or replace function ticketflow_apply(c jsonb) returns jsonb language plpgsql as $$
declare
  change_id  constant uuid := (c->>'id')::uuid;
  tid        constant uuid := (c->>'ticket_id')::uuid;
  guard      constant jsonb := c->'guard';
  guard_kind constant text := guard->>'kind';
  t          tickets%rowtype;
  holder     leases%rowtype;
  known      intake_keys%rowtype;
  e          jsonb;
  seq        integer;
  at         timestamptz;
  item       jsonb;
begin
  if guard_kind = 'create' then
    if guard ? 'window_key' then
      select * into known from intake_keys where key = (guard->>'window_key')::uuid;
      if found and known.ticket_id <> tid then
        -- ticketflow_commit reserved the key for the ticket that was there first.
        select * into t from tickets where id = known.ticket_id;
        return jsonb_build_object('status', 'refused', 'reason', 'exists', 'version', t.version, 'existing',
          jsonb_build_object('id', t.id, 'status', t.status, 'fingerprint', t.fingerprint, 'created_at', t.created_at));
      end if;
    end if;
    at := clock_timestamp();
    t := jsonb_populate_record(null::tickets, '{"vip": false, "tags": [], "metadata": {}, "attempt": 1, "excused_attempts": 0, "lifecycle": "new"}');
    t.id := tid;
    t.created_at := at;
    seq := 0;
    for e in select value from jsonb_array_elements(c->'events') loop
      seq := seq + 1;
      t := ticketflow_fold(t, coalesce(e->'changes', '{}'), seq, at);
    end loop;
    insert into tickets select (t).* on conflict (id) do nothing;
    if not found then
      select * into t from tickets where id = tid;
      return coalesce(ticketflow_first_outcome(tid, change_id),
        jsonb_build_object('status', 'refused', 'reason', 'exists', 'version', t.version, 'existing',
          jsonb_build_object('id', t.id, 'status', t.status, 'fingerprint', t.fingerprint, 'created_at', t.created_at)));
    end if;
    seq := 0;
    for e in select value from jsonb_array_elements(c->'events') loop
      seq := seq + 1;
      perform ticketflow_append(tid, seq, e, change_id, at);
    end loop;
  else
    select * into t from tickets where id = tid for update;
    if not found then
      return jsonb_build_object('status', 'refused', 'reason', 'not_found');
    end if;
    if guard_kind = 'version' then
      if t.version <> (guard->>'version')::integer then
        return coalesce(ticketflow_first_outcome(tid, change_id),
          jsonb_build_object('status', 'refused', 'reason', 'version', 'version', t.version));
      end if;
    elsif guard_kind = 'lease' then
      -- A statement of its own: it must see a lease that was taken over while the lock above was waited for.
      select * into holder from leases where leases.ticket_id = tid;
      if not found or holder.token <> (guard->>'token')::uuid then
        return coalesce(ticketflow_first_outcome(tid, change_id),
          jsonb_build_object('status', 'refused', 'reason', 'lease', 'version', t.version, 'ticket_status', t.status));
      end if;
      if change_id = any (holder.change_ids) then
        return ticketflow_first_outcome(tid, change_id);
      end if;
      if t.status <> guard->>'status' then
        return jsonb_build_object('status', 'refused', 'reason', 'status', 'version', t.version, 'ticket_status', t.status);
      end if;
      if guard ? 'lifecycle' and (t.lifecycle, t.assignee) is distinct from (guard->>'lifecycle', guard->>'assignee') then
        return jsonb_build_object('status', 'refused', 'reason', 'lifecycle', 'version', t.version, 'ticket_status', t.status);
      end if;
      if not guard ? 'lifecycle' and ticketflow_has_person(t) and exists (
           select from jsonb_array_elements(c->'events')
           where value->'changes'->'result'->>'disposition' in ('answered', 'escalated')) then
        -- A worker of the release before would answer the customer in a person's place. To it the lease is lost; whoever
        -- takes the ticket over makes a suggestion of it.
        return jsonb_build_object('status', 'refused', 'reason', 'lease', 'version', t.version, 'ticket_status', t.status);
      end if;
      if coalesce((guard->>'release')::boolean, false) then
        delete from leases where leases.ticket_id = tid;
      else
        update leases set change_ids = change_ids || change_id, takeovers = 0, lost_workers = '{}' where leases.ticket_id = tid;
      end if;
    else
      raise exception 'unknown guard %', guard_kind using errcode = 'check_violation';
    end if;
    if c ? 'restart' and not ticketflow_restart(tid::text, c->'restart') then
      return jsonb_build_object('status', 'refused', 'reason', 'no_checkpoint', 'version', t.version);
    end if;
    if coalesce((c->>'revoke_lease')::boolean, false) then
      delete from leases where leases.ticket_id = tid;
    end if;
    at := clock_timestamp();
    for e in select value from jsonb_array_elements(c->'events') loop
      t := ticketflow_fold(t, coalesce(e->'changes', '{}'), t.version + 1, at);
      perform ticketflow_append(tid, t.version, e, change_id, at);
    end loop;
    perform ticketflow_store(t);
  end if;

  if c ? 'checkpoint' then
    perform ticketflow_put_checkpoint(c->'checkpoint');
  end if;
  if c ? 'wake_ups' then
    insert into outbox (ticket_id, lane, reason, headers, available_at)
    select tid, value->>'lane', value->>'reason', coalesce(value->'headers', '{}'),
           clock_timestamp() + coalesce((value->>'delay_ms')::double precision, 0) * interval '1 millisecond'
    from jsonb_array_elements(c->'wake_ups');
  end if;
  if c ? 'message' then
    item := c->'message';
    insert into messages (id, ticket_id, seq, kind, author, body, created_at)
    select (item->>'id')::uuid, tid, events.seq, item->>'kind', item->>'author', item->>'body', events.created_at
    from events where events.ticket_id = tid and events.seq between t.version - jsonb_array_length(c->'events') + 1 and t.version
      and events.payload->>'message_id' = item->>'id';
    if not found then
      raise exception 'a message without its event' using errcode = 'check_violation';
    end if;
  end if;
  if c ? 'cancel_timers' then
    delete from timers where timers.ticket_id = tid
      and kind in (select jsonb_array_elements_text(c->'cancel_timers'));
  end if;
  if c ? 'timers' then
    insert into timers (ticket_id, kind, due_at)
    select tid, value->>'kind', clock_timestamp() + (value->>'due_in_ms')::double precision * interval '1 millisecond'
    from jsonb_array_elements(c->'timers')
    on conflict (ticket_id, kind) do update set due_at = excluded.due_at, taken_until = '-infinity';
  end if;
  if c ? 'dead_letter' then
    item := c->'dead_letter';
    insert into dead_letters (kind, ticket_id, reason, detail, payload)
    values ('ticket', tid, item->>'reason', item->>'detail', coalesce(item->'payload', '{}'));
  end if;
  if c ? 'redrive' then
    update dead_letters set redriven_at = clock_timestamp(), redriven_by = c->>'redrive'
    where dead_letters.ticket_id = tid and redriven_at is null;
  end if;
  return jsonb_build_object('status', 'applied', 'version', t.version, 'repeated', false);
end $$;

-- The newest public messages of a ticket, oldest first.
create function ticketflow_latest_messages(p_ticket_id uuid, p_limit integer) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.seq), '[]') from (
    select * from messages where ticket_id = p_ticket_id and kind = 'reply' order by seq desc limit p_limit) m;
$$;

-- As before, and: take_up: {place: [events]} is what the claim appends for a ticket that stands in that place; messages: how many
-- of the newest public ones come with the ticket.
create or replace function ticketflow_claim(args jsonb) returns jsonb language plpgsql as $$
declare
  outcomes jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(args->'claims')]);
  claim    record;
  t        tickets%rowtype;
  holder   leases%rowtype;
  held     boolean;
  lost     text[];
  saved    jsonb;
  e        jsonb;
  firing   jsonb;
  at       timestamptz;
begin
  for claim in
    select (value->>'ticket_id')::uuid as ticket_id, (value->>'token')::uuid as token, value, ordinality
    from jsonb_array_elements(args->'claims') with ordinality order by 1, 4
  loop
    select * into t from tickets where id = claim.ticket_id for update;
    if not found then
      outcomes[claim.ordinality] := '{"status": "not_found"}';
      continue;
    end if;
    if not args->'claimable' ? t.status then
      outcomes[claim.ordinality] := jsonb_build_object('status', 'not_claimable', 'ticket_status', t.status);
      continue;
    end if;
    select * into holder from leases where leases.ticket_id = claim.ticket_id;
    held := found;
    if held and holder.token <> claim.token and holder.expires_at > clock_timestamp()
       and not (claim.value->>'takeover')::boolean then
      outcomes[claim.ordinality] := jsonb_build_object('status', 'held', 'worker', holder.worker);
      continue;
    end if;
    saved := case when t.version > 1 then ticketflow_latest_checkpoint(t.id::text) end;
    if saved->'checkpoint'->'channel_versions' = '{}' then
      saved := null;  -- A restart from the very beginning.
    end if;
    -- Nor is one that a person has for a worker of the release before, which does not know what that means.
    if saved is not null and not coalesce(args->'flows' ? t.flow_version, true)
       or not args ? 'take_up' and ticketflow_has_person(t) then
      insert into outbox (ticket_id, lane, reason, available_at)
      select t.id, coalesce(args->'lanes'->>t.priority, 'normal'), 'other_flow',
             clock_timestamp() + (args->>'flow_wait_ms')::double precision * interval '1 millisecond'
      -- One may have brought this message and still stand here; of many copies of a message two at most go on.
      where (select count(*) from outbox where outbox.ticket_id = t.id) < 2;
      -- What only this message knows, that the holder is gone, is to be true for the next taker too.
      update leases set expires_at = clock_timestamp() where leases.ticket_id = t.id and expires_at > clock_timestamp();
      outcomes[claim.ordinality] := jsonb_build_object('status', 'other_flow', 'flow_version', t.flow_version);
      continue;
    end if;
    lost := array_remove(case when held then holder.lost_workers else '{}' end, args->>'worker');
    if not held or holder.token <> claim.token then
      at := clock_timestamp();
      if t.status = 'processing' then
        e := jsonb_set(claim.value->'takeover_event', '{payload,previous_worker}',
                       coalesce(to_jsonb(holder.worker), 'null'));
        if held and (holder.released or holder.worker = args->>'worker') then
          -- Given back, or ours already: the answer to our own claim was lost, and nobody died.
          e := jsonb_set(e, '{payload,reason}', '"handover"');
        else
          lost := array_remove(lost, holder.worker) || holder.worker;
        end if;
      else
        e := claim.value->'first_event';
      end if;
      if saved is null and t.flow_version <> args->>'flow' then
        e := jsonb_set(e, '{changes}', coalesce(e->'changes', '{}') || jsonb_build_object('flow_version', args->'flow'));
      end if;
      t := ticketflow_fold(t, coalesce(e->'changes', '{}'), t.version + 1, at);
      perform ticketflow_append(t.id, t.version, e, claim.token, at);
      for firing in select value from jsonb_array_elements(coalesce(args->'take_up'->t.lifecycle, '[]')) loop
        t := ticketflow_fold(t, firing->'changes', t.version + 1, at);
        perform ticketflow_append(t.id, t.version, firing, claim.token, at);
      end loop;
      perform ticketflow_store(t);
      insert into leases (ticket_id, token, worker, expires_at, takeovers, lost_workers)
      values (t.id, claim.token, args->>'worker',
              at + (args->>'ttl_ms')::double precision * interval '1 millisecond', cardinality(lost), lost)
      on conflict (ticket_id) do update
        set token = excluded.token, worker = excluded.worker, expires_at = excluded.expires_at,
            takeovers = excluded.takeovers, lost_workers = excluded.lost_workers, released = false, change_ids = '{}';
      delete from wake_ups where wake_ups.ticket_id = t.id;
    end if;
    outcomes[claim.ordinality] := jsonb_build_object('status', 'claimed', 'ticket', to_jsonb(t), 'takeovers', coalesce(cardinality(lost), 0),
      'request_id', (select events.request_id from events where events.ticket_id = t.id and events.seq = t.version),
      'checkpoint', saved,
      'messages', ticketflow_latest_messages(t.id, (args->>'messages')::integer));
  end loop;
  return to_jsonb(outcomes);
end $$;

-- {limit, hold_ms, kinds} -> [{ticket_id, kind, ticket: {...}}]; the change that acts on a timer cancels it, guarded by version.
-- A timer that means nothing is dropped by who takes it, so a release gets none that only a later one knows.
create or replace function ticketflow_timers_due(args jsonb) returns jsonb language sql as $$
  with due as (
    select ticket_id, kind from timers
    where due_at <= now() and taken_until <= now()
      and (kind <> all (array['retry', 'close'])
           or kind = any (array(select jsonb_array_elements_text(coalesce(args->'kinds', '["retry"]')))))
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

-- {ticket_id, kinds, after: {seq}?, limit} -> [message, ...], oldest first
create function ticketflow_messages(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.seq), '[]') from (
    select * from messages
    where ticket_id = (args->>'ticket_id')::uuid and args->'kinds' ? kind and seq > (args->>'after')::integer
    order by seq limit (args->>'limit')::integer) m;
$$;

-- {id} -> message or null
create function ticketflow_message(args jsonb) returns jsonb language sql stable as $$
  select to_jsonb(m) from messages m where id = (args->>'id')::uuid;
$$;

-- {filters..., sort: created_at | -created_at, limit, after: {created_at, id}} -> [ticket, ...]
create or replace function ticketflow_tickets(args jsonb) returns jsonb language plpgsql stable as $$
declare
  query  text := 'select coalesce(jsonb_agg(to_jsonb(t)), ''[]'') from (select * from tickets where true';
  rising constant boolean := coalesce(args->>'sort', '-created_at') = 'created_at';
  field  text;
  found_ jsonb;
begin
  foreach field in array array['status', 'category', 'priority', 'team', 'customer_id', 'channel', 'lifecycle', 'assignee'] loop
    if args ? field then
      query := query || format(' and %I = any (select jsonb_array_elements_text($1->%L))', field, field);
    end if;
  end loop;
  if args ? 'tag' then
    query := query || ' and tags @> array[$1->>''tag'']';
  end if;
  if args ? 'q' then
    query := query || ' and to_tsvector(''simple'', subject || '' '' || body) @@ plainto_tsquery(''simple'', $1->>''q'')';
  end if;
  if args ? 'created_after' then
    query := query || ' and created_at > ($1->>''created_after'')::timestamptz';
  end if;
  if args ? 'created_before' then
    query := query || ' and created_at < ($1->>''created_before'')::timestamptz';
  end if;
  if args ? 'after' then
    query := query || format(
      ' and (created_at, id) %s (($1->''after''->>''created_at'')::timestamptz, ($1->''after''->>''id'')::uuid)',
      case when rising then '>' else '<' end);
  end if;
  query := query || case when rising then ' order by created_at, id' else ' order by created_at desc, id desc' end
    || ' limit ($1->>''limit'')::integer) t';
  execute query into found_ using args;
  return found_;
end $$;

-- {after: id, limit} -> [{ticket, events, lease, timers, outbox, open_dead_letters, checkpoints, messages}] for the consistency audit
create or replace function ticketflow_audit(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object(
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
  from (select * from tickets where not args ? 'after' or id > (args->>'after')::uuid
        order by id limit (args->>'limit')::integer) t;
$$;

-- {} -> [{table, ticket_id}, ...]: rows that name a ticket which is not there
create or replace function ticketflow_strays(args jsonb) returns jsonb language sql stable as $$
  with named as (
    select 'events' as place, ticket_id from events
    union select 'leases', ticket_id from leases
    union select 'outbox', ticket_id from outbox
    union select 'timers', ticket_id from timers
    union select 'messages', ticket_id from messages
    union select 'dead_letters', ticket_id from dead_letters where kind = 'ticket'
  )
  select coalesce(jsonb_agg(jsonb_build_object('table', place, 'ticket_id', ticket_id) order by place, ticket_id), '[]')
  from named where not exists (select from tickets t where t.id = named.ticket_id);
$$;

-- {before, statuses, whole, dry_run, limit, after: {completed_at, id}} ->
-- {tickets, checkpoints, events, kept, busy, next: {completed_at, id} or null}
-- Looks at up to limit tickets that ended before that time in one of these statuses. From each it removes checkpoints and
-- pending writes; with whole, the ticket and all rows about it. kept: tickets with an open dead letter, which a person
-- may yet redrive, and with whole those that a person has, whatever became of the pipeline's run. busy: tickets that another transaction holds; they are never waited for.
create or replace function ticketflow_prune(args jsonb) returns jsonb language plpgsql as $$
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
    where not exists (select from dead_letters d where d.ticket_id = p.id and d.redriven_at is null)
      and not (whole and exists (select from tickets t where t.id = p.id and (t.lifecycle in ('assigned', 'escalated')
               or t.lifecycle in ('in_progress', 'pending_customer') and t.assignee <> 'pipeline'))));
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
create or replace function ticketflow_forget(p_tickets uuid[], p_last_end timestamptz) returns void language plpgsql as $$
begin
  delete from tickets where id = any (p_tickets);
  perform set_config('ticketflow.pruning', 'on', true);
  delete from events where ticket_id = any (p_tickets);
  perform set_config('ticketflow.pruning', '', true);
  delete from messages where ticket_id = any (p_tickets);
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

-- Tickets that the pipeline has finished stand where that left them, and their trails say so.
do $$
declare
  t  tickets%rowtype;
  to_ text;
begin
  for t in select * from tickets where status = 'completed' and result->>'disposition' in ('answered', 'escalated') order by id for update loop
    to_ := case t.result->>'disposition' when 'answered' then 'resolved' else 'escalated' end;
    perform ticketflow_append(t.id, t.version + 1, jsonb_build_object('event_type', 'lifecycle', 'actor', 'system',
      'payload', jsonb_build_object('reason', 'upgrade', 'to', to_), 'changes', jsonb_build_object('lifecycle', to_)),
      gen_random_uuid(), clock_timestamp());
    perform ticketflow_store(ticketflow_fold(t, jsonb_build_object('lifecycle', to_), t.version + 1, clock_timestamp()));
  end loop;
end $$;

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
