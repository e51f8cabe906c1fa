-- Commits and claims of many tickets at once: one statement for each table, however many tickets travel together. What they do
-- to a ticket is what they did before.

-- The columns that an event may set on a ticket that exists.
create type ticketflow_changeable as (
  status text, waiting_for text, category text, priority text, tags text[], team text, lifecycle text, assignee text,
  result jsonb, error jsonb, attempt integer, excused_attempts integer, flow_version text
);

-- What the events set, taken together: of each column the last value. The same rules as ticketflow.domain.events.fold.
create function ticketflow_merged(events jsonb) returns jsonb language plpgsql immutable as $$
declare
  merged jsonb := '{}';
  e      jsonb;
begin
  for e in select value from jsonb_array_elements(events) loop
    if e ? 'changes' then
      merged := merged || (e->'changes');
    end if;
  end loop;
  if merged ?| array['id', 'version', 'created_at', 'updated_at', 'started_at', 'completed_at'] then
    raise exception 'an event may not set a derived column' using errcode = 'check_violation';
  end if;
  return merged;
end $$;

-- Which of these events started the work, if any did.
create function ticketflow_starts(events jsonb) returns boolean language sql immutable as $$
  select events @> '[{"changes": {"status": "processing"}}]';
$$;

create function ticketflow_ended(status text) returns boolean language sql immutable as $$
  select status in ('completed', 'failed_permanent', 'cancelled');
$$;

-- Folds events into the rows of existing tickets, which the caller has locked, and appends them to their trails.
-- Each of the arrays has one element for each ticket, and no ticket twice.
create function ticketflow_append_all(p_tickets uuid[], p_events jsonb[], p_change_ids uuid[], at timestamptz) returns void
language plpgsql as $$
begin
  -- The row as it was still tells the version to count from.
  insert into events (ticket_id, seq, event_type, step_name, actor, payload, changes, request_id, change_id, created_at)
  select t.id, t.version + e.place, e.value->>'event_type', e.value->>'step_name', e.value->>'actor',
         coalesce(e.value->'payload', '{}'), coalesce(e.value->'changes', '{}'),
         -- An event that names no request goes back to the same one as the event before it.
         coalesce(e.value->>'request_id',
           (select b.value->>'request_id' from jsonb_array_elements(c.events) with ordinality b(value, place)
            where b.place < e.place and b.value->>'request_id' is not null order by b.place desc limit 1),
           (select p.request_id from events p where p.ticket_id = t.id and p.seq = t.version)),
         c.change_id, at
  from unnest(p_tickets, p_events, p_change_ids) as c(ticket_id, events, change_id)
  join tickets t on t.id = c.ticket_id, jsonb_array_elements(c.events) with ordinality e(value, place)
  order by t.id, e.place;
  update tickets t set
    status = case when m.changes ? 'status' then n.status else t.status end,
    waiting_for = case when m.changes ? 'waiting_for' then n.waiting_for else t.waiting_for end,
    category = case when m.changes ? 'category' then n.category else t.category end,
    priority = case when m.changes ? 'priority' then n.priority else t.priority end,
    tags = case when m.changes ? 'tags' then n.tags else t.tags end,
    team = case when m.changes ? 'team' then n.team else t.team end,
    lifecycle = case when m.changes ? 'lifecycle' then n.lifecycle else t.lifecycle end,
    assignee = case when m.changes ? 'assignee' then n.assignee else t.assignee end,
    result = case when m.changes ? 'result' then n.result else t.result end,
    error = case when m.changes ? 'error' then n.error else t.error end,
    attempt = case when m.changes ? 'attempt' then n.attempt else t.attempt end,
    excused_attempts = case when m.changes ? 'excused_attempts' then n.excused_attempts else t.excused_attempts end,
    flow_version = case when m.changes ? 'flow_version' then n.flow_version else t.flow_version end,
    version = t.version + jsonb_array_length(m.events),
    started_at = case when t.started_at is null and ticketflow_starts(m.events) then at else t.started_at end,
    completed_at = case when m.changes ? 'status' then case when ticketflow_ended(n.status) then at end else t.completed_at end,
    updated_at = at
  from (select c.ticket_id, c.events, ticketflow_merged(c.events) as changes
        from unnest(p_tickets, p_events) as c(ticket_id, events) offset 0) m,
       jsonb_populate_record(null::ticketflow_changeable, m.changes) n
  where t.id = m.ticket_id;
end $$;

create function ticketflow_exists(t tickets) returns jsonb language sql stable as $$
  select jsonb_build_object('status', 'refused', 'reason', 'exists', 'version', t.version, 'existing',
    jsonb_build_object('id', t.id, 'status', t.status, 'fingerprint', t.fingerprint, 'created_at', t.created_at));
$$;

-- Whether people have a ticket, or had it last, and not the pipeline; the same as Ticket.with_pipeline says the other way round.
create function ticketflow_is_with_person(lifecycle text, assignee text) returns boolean language sql immutable as $$
  select lifecycle <> 'new' and not (lifecycle in ('in_progress', 'pending_customer') and assignee = 'pipeline');
$$;

-- Whether a change may be made to a ticket that exists: null if it may, or else its outcome. Not the row but what matters of
-- it, as a row that travels into a function is read whole, with the longest text.
create function ticketflow_judged(
  c jsonb, ticket_id uuid, version integer, status text, lifecycle text, assignee text, lease_token uuid, lease_changes uuid[]
) returns jsonb language plpgsql stable as $$
declare
  change_id constant uuid := (c->>'id')::uuid;
  guard     constant jsonb := c->'guard';
  reason    text;
begin
  case guard->>'kind'
    when 'version' then
      if version <> (guard->>'version')::integer then
        return coalesce(ticketflow_first_outcome(ticket_id, change_id),
          jsonb_build_object('status', 'refused', 'reason', 'version', 'version', version));
      end if;
    when 'lease' then
      -- Not "is distinct from": a guard without a token would then hold for a ticket without a lease.
      if (lease_token = (guard->>'token')::uuid) is not true then
        return coalesce(ticketflow_first_outcome(ticket_id, change_id),
          jsonb_build_object('status', 'refused', 'reason', 'lease', 'version', version, 'ticket_status', status));
      end if;
      if change_id = any (lease_changes) then
        return ticketflow_first_outcome(ticket_id, change_id);
      end if;
      reason := case
        when status <> guard->>'status' then 'status'
        when guard ? 'lifecycle' then
          case when (lifecycle, assignee) is distinct from (guard->>'lifecycle', guard->>'assignee') then 'lifecycle' end
        -- A worker of the release before would answer the customer in a person's place. To it the lease is lost; whoever
        -- takes the ticket over makes a suggestion of it.
        when ticketflow_is_with_person(lifecycle, assignee) and exists (
               select from jsonb_array_elements(c->'events') e
               where e.value->'changes'->'result'->>'disposition' in ('answered', 'escalated')) then 'lease'
      end;
      if reason is not null then
        return jsonb_build_object('status', 'refused', 'reason', reason, 'version', version, 'ticket_status', status);
      end if;
    else
      raise exception 'unknown guard %', guard->>'kind' using errcode = 'check_violation';
  end case;
  return null;
end $$;

-- Tickets that do not exist yet. Returns the places of those that were created; the others were there.
create function ticketflow_create_all(items jsonb[], places integer[], at timestamptz) returns integer[] language plpgsql as $$
declare
  created integer[];
begin
  with made as (
    insert into tickets select n.*
    from unnest(places) place
    cross join lateral (select items[place] as c, ticketflow_merged(items[place]->'events') as changes offset 0) m
    cross join lateral jsonb_populate_record(null::tickets,
      '{"vip": false, "tags": [], "metadata": {}, "attempt": 1, "excused_attempts": 0, "lifecycle": "new"}' || m.changes
      || jsonb_build_object('id', m.c->'ticket_id', 'created_at', at, 'updated_at', at,
           'version', jsonb_array_length(m.c->'events'),
           'started_at', case when ticketflow_starts(m.c->'events') then at end,
           'completed_at', case when ticketflow_ended(m.changes->>'status') then at end)) n
    order by n.id
    on conflict (id) do nothing returning id
  )
  select array_agg(place) into created from unnest(places) place
  where (items[place]->>'ticket_id')::uuid in (select id from made);
  insert into events (ticket_id, seq, event_type, step_name, actor, payload, changes, request_id, change_id, created_at)
  select (items[n]->>'ticket_id')::uuid, e.place, e.value->>'event_type', e.value->>'step_name', e.value->>'actor',
         coalesce(e.value->'payload', '{}'), coalesce(e.value->'changes', '{}'),
         coalesce(e.value->>'request_id',
           (select b.value->>'request_id' from jsonb_array_elements(items[n]->'events') with ordinality b(value, place)
            where b.place < e.place and b.value->>'request_id' is not null order by b.place desc limit 1)),
         (items[n]->>'id')::uuid, at
  from unnest(created) item(n), jsonb_array_elements(items[n]->'events') with ordinality e(value, place)
  order by 1, 2;
  return coalesce(created, '{}');
end $$;

-- Everything about applied changes that is neither the ticket's row nor its trail nor its lease. versions: before each of them.
create function ticketflow_write_beside(items jsonb[], versions integer[], parts text[], at timestamptz) returns void
language plpgsql as $$
declare
  said integer;
begin
  if 'checkpoint' = any (parts) then
    insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels)
    select p->>'thread_id', p->>'checkpoint_ns', p->>'checkpoint_id', p->>'parent_id', p->'checkpoint', p->'metadata',
           p->'channels'
    from (select c->'checkpoint' as p from unnest(items) c where c ? 'checkpoint' offset 0) given
    on conflict (thread_id, checkpoint_ns, checkpoint_id) do update
      set parent_id = excluded.parent_id, checkpoint = excluded.checkpoint, metadata = excluded.metadata,
          channels = excluded.channels;
  end if;
  if 'wake_ups' = any (parts) then
    insert into outbox (ticket_id, lane, reason, headers, available_at)
    select (c->>'ticket_id')::uuid, value->>'lane', value->>'reason', coalesce(value->'headers', '{}'),
           clock_timestamp() + coalesce((value->>'delay_ms')::double precision, 0) * interval '1 millisecond'
    from unnest(items) with ordinality as given(c, place), jsonb_array_elements(c->'wake_ups') with ordinality w(value, place)
    where c ? 'wake_ups' order by given.place, w.place;
  end if;
  if 'message' = any (parts) then
    insert into messages (id, ticket_id, seq, kind, author, body, created_at)
    select (m->>'id')::uuid, (c->>'ticket_id')::uuid, v.version + e.place, m->>'kind', m->>'author', m->>'body', at
    from unnest(items, versions) v(c, version)
    cross join lateral (select c->'message' as m offset 0) given
    cross join lateral (
      select place from jsonb_array_elements(c->'events') with ordinality e(value, place)
      where value->'payload'->>'message_id' = m->>'id') e
    where c ? 'message';
    get diagnostics said = row_count;
    if said <> (select count(*) from unnest(items) c where c ? 'message') then
      raise exception 'a message without its event' using errcode = 'check_violation';
    end if;
  end if;
  if 'cancel_timers' = any (parts) then
    delete from timers using unnest(items) c
    where c ? 'cancel_timers' and timers.ticket_id = (c->>'ticket_id')::uuid and c->'cancel_timers' ? timers.kind;
  end if;
  if 'timers' = any (parts) then
    insert into timers (ticket_id, kind, due_at)
    select (c->>'ticket_id')::uuid, value->>'kind',
           clock_timestamp() + (value->>'due_in_ms')::double precision * interval '1 millisecond'
    from unnest(items) c, jsonb_array_elements(c->'timers') where c ? 'timers'
    on conflict (ticket_id, kind) do update set due_at = excluded.due_at, taken_until = '-infinity';
  end if;
  if 'dead_letter' = any (parts) then
    insert into dead_letters (kind, ticket_id, reason, detail, payload)
    select 'ticket', (c->>'ticket_id')::uuid, c->'dead_letter'->>'reason', c->'dead_letter'->>'detail',
           coalesce(c->'dead_letter'->'payload', '{}')
    from unnest(items) c where c ? 'dead_letter';
  end if;
  if 'redrive' = any (parts) then
    update dead_letters d set redriven_at = clock_timestamp(), redriven_by = c->>'redrive'
    from unnest(items) c
    where c ? 'redrive' and d.ticket_id = (c->>'ticket_id')::uuid and d.redriven_at is null;
  end if;
end $$;

-- Changes of different tickets -> their outcomes in the same order, each applied whole or refused whole.
create function ticketflow_apply_all(items jsonb[]) returns jsonb[] language plpgsql as $$
declare
  outcomes jsonb[] := array_fill(null::jsonb, array[cardinality(items)]);
  versions integer[] := array_fill(0, array[cardinality(items)]);
  parts    constant text[] := array(select distinct key from unnest(items) c, jsonb_object_keys(c) key);
  creates  integer[];
  updates  integer[];
  applied  integer[];
  locked   uuid[];
  item     record;
  at       timestamptz;
begin
  -- Texts that are another ticket's already, and tickets that are there, lock nothing. An insert would wait for whoever changes
  -- that ticket, with the locks of others in hand.
  select array_agg(place order by place) filter (where not exists (
           select from intake_keys k where k.key = (c->'guard'->>'window_key')::uuid and k.ticket_id <> (c->>'ticket_id')::uuid)
           and not exists (select from tickets where id = (c->>'ticket_id')::uuid))
    into creates
  from unnest(items) with ordinality given(c, place) where c->'guard'->>'kind' = 'create';
  updates := array(select place from unnest(items) with ordinality given(c, place)
                   where c->'guard'->>'kind' is distinct from 'create' order by place);

  if updates <> '{}' then
    -- One that was committed while this waits is in the next statement's snapshot, and not locked. To this call it is not there.
    locked := array(
      select id from tickets where id = any (array(select (items[place]->>'ticket_id')::uuid from unnest(updates) place))
      order by id for update);
    -- A statement of its own: it must see a lease that was taken over while the lock above was waited for.
    perform from leases where ticket_id = any (array(select (items[place]->>'ticket_id')::uuid from unnest(updates) place))
    order by ticket_id for update;
    for item in
      select place, t.version, case when t.id is null then '{"status": "refused", "reason": "not_found"}'
                                    else ticketflow_judged(
                                      items[place], t.id, t.version, t.status, t.lifecycle, t.assignee, l.token, l.change_ids) end as outcome
      from unnest(updates) place
      left join unnest(locked) as ours(id) on ours.id = (items[place]->>'ticket_id')::uuid
      left join tickets t on t.id = ours.id
      left join leases l on l.ticket_id = ours.id
    loop
      outcomes[item.place] := item.outcome;
      versions[item.place] := item.version;
    end loop;
    if 'restart' = any (parts) then
      for item in select place from unnest(updates) place where outcomes[place] is null and items[place] ? 'restart' loop
        if not ticketflow_restart(items[item.place]->>'ticket_id', items[item.place]->'restart') then
          outcomes[item.place] := jsonb_build_object('status', 'refused', 'reason', 'no_checkpoint',
                                                     'version', versions[item.place]);
        end if;
      end loop;
    end if;
    updates := array(select place from unnest(updates) place where outcomes[place] is null);
    delete from leases where ticket_id in (
      select (items[place]->>'ticket_id')::uuid from unnest(updates) place
      where items[place]->'guard'->'release' = 'true' or items[place]->'revoke_lease' = 'true');
    update leases l set change_ids = l.change_ids || (items[place]->>'id')::uuid, takeovers = 0, lost_workers = '{}'
    from unnest(updates) place
    where l.ticket_id = (items[place]->>'ticket_id')::uuid and items[place]->'guard'->>'kind' = 'lease';
  end if;

  at := clock_timestamp();
  if updates <> '{}' then
    perform ticketflow_append_all(
      array(select (items[place]->>'ticket_id')::uuid from unnest(updates) with ordinality o(place, n) order by n),
      array(select items[place]->'events' from unnest(updates) with ordinality o(place, n) order by n),
      array(select (items[place]->>'id')::uuid from unnest(updates) with ordinality o(place, n) order by n), at);
  end if;
  applied := updates;
  if creates <> '{}' then
    applied := ticketflow_create_all(items, creates, at) || applied;
  end if;
  if applied <> '{}' and parts && array['checkpoint', 'wake_ups', 'message', 'cancel_timers', 'timers', 'dead_letter', 'redrive'] then
    perform ticketflow_write_beside(array(select items[place] from unnest(applied) with ordinality o(place, n) order by n),
                                    array(select versions[place] from unnest(applied) with ordinality o(place, n) order by n),
                                    parts, at);
  end if;
  for item in select place, versions[place] + jsonb_array_length(items[place]->'events') as version from unnest(applied) place loop
    outcomes[item.place] := jsonb_build_object('status', 'applied', 'version', item.version, 'repeated', false);
  end loop;

  -- What is left was to be created and is there: the same change sent again, the same ticket, or the same text under another id.
  for item in
    select place, coalesce(case when t.id = (c->>'ticket_id')::uuid then ticketflow_first_outcome(t.id, (c->>'id')::uuid) end,
                           ticketflow_exists(t)) as outcome
    from unnest(items) with ordinality given(c, place)
    left join intake_keys k on k.key = (c->'guard'->>'window_key')::uuid
    left join tickets t on t.id = coalesce(k.ticket_id, (c->>'ticket_id')::uuid)
    where outcomes[place] is null
  loop
    outcomes[item.place] := item.outcome;
  end loop;
  return outcomes;
end $$;

-- Many changes in one call: [change, ...] -> [outcome, ...] in the same order, each applied whole or refused whole.
create or replace function ticketflow_commit(changes jsonb) returns jsonb language plpgsql as $$
declare
  items    constant jsonb[] := array(select value from jsonb_array_elements(changes) with ordinality order by ordinality);
  outcomes jsonb[] := array_fill(null::jsonb, array[cardinality(items)]);
  answers  jsonb[];
  turn     record;
begin
  -- Keys before tickets and both in order, so that two callers with the same rows never wait for each other in a ring.
  insert into intake_keys as k (key, ticket_id, created_at)
  select distinct on ((c->'guard'->>'window_key')::uuid) (c->'guard'->>'window_key')::uuid, (c->>'ticket_id')::uuid, clock_timestamp()
  from unnest(items) with ordinality given(c, place) where c->'guard' ? 'window_key'
  order by (c->'guard'->>'window_key')::uuid, place
  on conflict (key) do update set ticket_id = excluded.ticket_id, created_at = excluded.created_at
    where k.created_at < clock_timestamp() - (
      select min((c->'guard'->>'window_ms')::double precision) from unnest(items) c
      where (c->'guard'->>'window_key')::uuid = excluded.key) * interval '1 millisecond';
  -- Of changes to the same ticket each has its turn. Last come texts that are another ticket's already: that one may be
  -- created, or go on, in this call.
  for turn in
    select array_agg(place order by place) as places from (
      select place, case when not exists (
          select from intake_keys k where k.key = (c->'guard'->>'window_key')::uuid and k.ticket_id <> (c->>'ticket_id')::uuid)
        then row_number() over (partition by (c->>'ticket_id')::uuid order by place) end as n
      from unnest(items) with ordinality given(c, place)) numbered
    group by n order by n nulls last
  loop
    answers := ticketflow_apply_all(array(select items[place] from unnest(turn.places) with ordinality o(place, n) order by n));
    for i in 1..cardinality(answers) loop
      outcomes[turn.places[i]] := answers[i];
    end loop;
  end loop;
  return to_jsonb(outcomes);
end $$;

-- Claims of different tickets -> their outcomes in the same order.
create function ticketflow_claim_all(args jsonb, claims jsonb[]) returns jsonb[] language plpgsql as $$
declare
  outcomes jsonb[] := array_fill(null::jsonb, array[cardinality(claims)]);
  wanted   constant uuid[] := array(select (c->>'ticket_id')::uuid from unnest(claims) with ordinality o(c, n) order by n);
  locked   uuid[];
  lost     text[];
  events_  jsonb[] := array_fill(null::jsonb, array[cardinality(claims)]);
  claimed  integer[];
  e        jsonb;
  at       timestamptz;
  item     record;
begin
  locked := array(select id from tickets where id = any (wanted) order by id for update);
  perform from leases where ticket_id = any (locked) order by ticket_id for update;
  for item in
    select n as place, claims[n] as claim, t.id, t.status, t.version, t.lifecycle, t.assignee, t.priority, t.flow_version,
           l.token, l.worker, l.released, l.expires_at, coalesce(l.lost_workers, '{}') as lost_workers,
           case when t.version > 1 then ticketflow_latest_checkpoint(t.id::text) end as saved
    from unnest(wanted) with ordinality w(id, n) left join unnest(locked) as ours(id) using (id)
    left join tickets t on t.id = ours.id left join leases l on l.ticket_id = ours.id
    order by n
  loop
    if item.status is null then
      outcomes[item.place] := '{"status": "not_found"}';
      continue;
    end if;
    if not args->'claimable' ? item.status then
      outcomes[item.place] := jsonb_build_object('status', 'not_claimable', 'ticket_status', item.status);
      continue;
    end if;
    if item.token <> (item.claim->>'token')::uuid and item.expires_at > clock_timestamp()
       and not (item.claim->>'takeover')::boolean then
      outcomes[item.place] := jsonb_build_object('status', 'held', 'worker', item.worker);
      continue;
    end if;
    if item.saved->'checkpoint'->'channel_versions' = '{}' then
      item.saved := null;  -- A restart from the very beginning.
    end if;
    -- Nor is one that a person has for a worker of the release before, which does not know what that means.
    if item.saved is not null and not coalesce(args->'flows' ? item.flow_version, true)
       or not args ? 'take_up' and ticketflow_is_with_person(item.lifecycle, item.assignee) then
      insert into outbox (ticket_id, lane, reason, available_at)
      select item.id, coalesce(args->'lanes'->>item.priority, 'normal'), 'other_flow',
             clock_timestamp() + (args->>'flow_wait_ms')::double precision * interval '1 millisecond'
      -- One may have brought this message and still stand here; of many copies of a message two at most go on.
      where (select count(*) from outbox where outbox.ticket_id = item.id) < 2;
      -- What only this message knows, that the holder is gone, is to be true for the next taker too.
      update leases set expires_at = clock_timestamp() where leases.ticket_id = item.id and expires_at > clock_timestamp();
      outcomes[item.place] := jsonb_build_object('status', 'other_flow', 'flow_version', item.flow_version);
      continue;
    end if;
    lost := array_remove(item.lost_workers, args->>'worker');
    if item.token is distinct from (item.claim->>'token')::uuid then
      if item.status = 'processing' then
        e := jsonb_set(item.claim->'takeover_event', '{payload,previous_worker}', coalesce(to_jsonb(item.worker), 'null'));
        if item.released or item.worker = args->>'worker' then
          -- Given back, or ours already: the answer to our own claim was lost, and nobody died.
          e := jsonb_set(e, '{payload,reason}', '"handover"');
        else
          lost := array_remove(lost, item.worker) || item.worker;
        end if;
      else
        e := item.claim->'first_event';
      end if;
      if item.saved is null and item.flow_version <> args->>'flow' then
        e := jsonb_set(e, '{changes}', coalesce(e->'changes', '{}') || jsonb_build_object('flow_version', args->'flow'));
      end if;
      events_[item.place] := jsonb_build_array(e) || coalesce(args->'take_up'->item.lifecycle, '[]');
    end if;
    claimed := claimed || item.place;
    outcomes[item.place] := jsonb_build_object('status', 'claimed', 'takeovers', cardinality(lost), 'lost_workers', lost,
      'checkpoint', item.saved);
  end loop;
  if claimed is null then
    return outcomes;
  end if;

  at := clock_timestamp();
  perform ticketflow_append_all(array_agg(wanted[n]), array_agg(events_[n]), array_agg((claims[n]->>'token')::uuid), at)
  from unnest(claimed) n where events_[n] is not null having count(*) > 0;
  insert into leases (ticket_id, token, worker, expires_at, takeovers, lost_workers)
  select wanted[n], (claims[n]->>'token')::uuid, args->>'worker',
         at + (args->>'ttl_ms')::double precision * interval '1 millisecond', (outcomes[n]->>'takeovers')::integer,
         array(select jsonb_array_elements_text(outcomes[n]->'lost_workers'))
  from unnest(claimed) n where events_[n] is not null
  on conflict (ticket_id) do update
    set token = excluded.token, worker = excluded.worker, expires_at = excluded.expires_at,
        takeovers = excluded.takeovers, lost_workers = excluded.lost_workers, released = false, change_ids = '{}';
  delete from wake_ups where ticket_id = any (array(select wanted[n] from unnest(claimed) n where events_[n] is not null));

  for item in
    select n as place, to_jsonb(t) as ticket,
           (select request_id from events where events.ticket_id = t.id and events.seq = t.version) as request_id,
           ticketflow_latest_messages(t.id, (args->>'messages')::integer) as messages
    from unnest(claimed) n join tickets t on t.id = wanted[n]
  loop
    outcomes[item.place] := (outcomes[item.place] - 'lost_workers')
      || jsonb_build_object('ticket', item.ticket, 'request_id', item.request_id, 'messages', item.messages);
  end loop;
  return outcomes;
end $$;

-- As before.
create or replace function ticketflow_claim(args jsonb) returns jsonb language plpgsql as $$
declare
  claims   constant jsonb[] := array(select value from jsonb_array_elements(args->'claims') with ordinality order by ordinality);
  outcomes jsonb[] := array_fill(null::jsonb, array[cardinality(claims)]);
  answers  jsonb[];
  turn     record;
begin
  -- Of claims to the same ticket each has its turn.
  for turn in
    select array_agg(place order by place) as places from (
      select place, row_number() over (partition by (c->>'ticket_id')::uuid order by place) as n
      from unnest(claims) with ordinality given(c, place)) numbered
    group by n order by n
  loop
    answers := ticketflow_claim_all(args, array(select claims[place] from unnest(turn.places) with ordinality o(place, n) order by n));
    for i in 1..cardinality(answers) loop
      outcomes[turn.places[i]] := answers[i];
    end loop;
  end loop;
  return to_jsonb(outcomes);
end $$;

-- As before, with the locks in the order in which commits and claims take them: also those of leases that were lost.
create or replace function ticketflow_keep_leases(args jsonb) returns jsonb language plpgsql as $$
declare
  locked uuid[];
  lost   uuid[];
begin
  locked := array(
    select ticket_id from leases
    where ticket_id = any (array(select (value->>'ticket_id')::uuid from jsonb_array_elements(args->'leases')))
    order by ticket_id for update);
  lost := array(select jsonb_array_elements_text(ticketflow_extend(args))::uuid order by 1);
  update leases set lost_workers = array_remove(lost_workers, args->>'worker')
  where ticket_id = any (array(select unnest(lost) intersect select unnest(locked)));
  return (select coalesce(jsonb_agg(jsonb_build_object('ticket_id', id, 'ticket_status', (
    select t.status from tickets t where t.id = gone.id))), '[]') from unnest(lost) as gone (id));
end $$;

-- What research asks, for many tickets in one call: [args, ...] -> [answer, ...] in the same order.
create function ticketflow_search_all(args jsonb) returns jsonb language plpgsql stable as $$
begin
  return (select coalesce(jsonb_agg(ticketflow_search(value) order by place), '[]')
          from jsonb_array_elements(args) with ordinality a(value, place));
end $$;

create function ticketflow_history_all(args jsonb) returns jsonb language plpgsql stable as $$
begin
  return (select coalesce(jsonb_agg(ticketflow_history(value) order by place), '[]')
          from jsonb_array_elements(args) with ordinality a(value, place));
end $$;

-- Rows are found by their keys whatever the statistics say. A plan is kept for as long as a connection lives, and one that was
-- made while a table was empty, or small as leases always is, would read all of it, with everything that is dead in it.
alter function ticketflow_commit(jsonb) set enable_seqscan = off;
alter function ticketflow_claim(jsonb) set enable_seqscan = off;

drop function ticketflow_apply(jsonb);
drop function ticketflow_append(uuid, integer, jsonb, uuid, timestamptz);
drop function ticketflow_fold(tickets, jsonb, integer, timestamptz);
drop function ticketflow_store(tickets);
drop function ticketflow_has_person(tickets);

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
