-- Tickets, their trail, and everything that must be written in the same transaction as a trail entry.
-- Runs on PostgreSQL 15 to 18. No rule about what a ticket may do stands here: see src/ticketflow/domain.

create table tickets (
  id             uuid primary key,
  customer_id    text not null,
  customer_email text,
  subject        text not null,
  body           text not null,
  channel        text not null,
  status         text not null,
  waiting_for    text,
  category       text,
  priority       text,
  vip            boolean not null default false,
  tags           text[] not null default '{}',
  team           text,
  result         jsonb,
  error          jsonb,
  metadata       jsonb not null default '{}',
  fingerprint    text not null,
  version        integer not null,
  attempt        integer not null default 1,
  flow_version   text not null,
  created_at     timestamptz not null,
  started_at     timestamptz,
  completed_at   timestamptz,
  updated_at     timestamptz not null
) with (fillfactor = 80);

comment on table tickets is 'The fold of each ticket''s events; ticketflow_commit is its only writer.';

create index tickets_by_creation on tickets (created_at desc, id desc);
create index tickets_by_customer on tickets (customer_id, created_at desc, id desc);
create index tickets_unfinished on tickets (created_at, id) where status in ('pending', 'processing', 'waiting');
create index tickets_text on tickets using gin (to_tsvector('simple', subject || ' ' || body));

create table events (
  id         bigint generated always as identity,
  ticket_id  uuid not null,
  seq        integer not null,
  event_type text not null,
  step_name  text,
  actor      text not null,
  payload    jsonb not null default '{}',
  changes    jsonb not null default '{}',
  request_id text,
  change_id  uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (ticket_id, seq)
);

comment on table events is 'What happened to each ticket, in order and for ever.';

create function ticketflow_refuse_event_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are never updated or deleted' using errcode = 'restrict_violation';
end $$;

create trigger events_are_final before update or delete on events
  for each row execute function ticketflow_refuse_event_change();

create table leases (
  ticket_id      uuid primary key,
  token          uuid not null,
  worker         text not null,
  expires_at     timestamptz not null,
  takeovers      integer not null default 0,
  released       boolean not null default false,
  last_change_id uuid
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

comment on column leases.token is 'The fencing token: a write under any other token is refused.';
comment on column leases.takeovers is 'Workers lost in a row since a step was last completed.';
comment on column leases.released is 'Given back by a worker that was stopped: whoever goes on lost nobody.';

create table outbox (
  id           bigint generated always as identity primary key,
  ticket_id    uuid not null,
  lane         text not null,
  reason       text not null,
  headers      jsonb not null default '{}',
  created_at   timestamptz not null default clock_timestamp(),
  available_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

comment on column outbox.available_at is 'A relay that takes a row moves this forward; if it dies, the row comes back.';
create index outbox_by_availability on outbox (available_at, id);
create index outbox_by_ticket on outbox (ticket_id);

create table timers (
  ticket_id   uuid not null,
  kind        text not null,
  due_at      timestamptz not null,
  taken_until timestamptz not null default '-infinity',
  primary key (ticket_id, kind)
);
create index timers_by_due on timers (due_at);

create table intake_keys (
  key        uuid primary key,
  ticket_id  uuid not null,
  created_at timestamptz not null default clock_timestamp()
);
comment on table intake_keys is 'Which ticket an identical text became, for the length of the dedupe window.';
create index intake_keys_by_age on intake_keys (created_at);

create table wake_ups (
  ticket_id uuid primary key,
  last_at   timestamptz not null,
  times     integer not null default 1
);
comment on table wake_ups is 'Tickets that the sweeper woke because no message would, and how often.';

create table dead_letters (
  id          uuid primary key default gen_random_uuid(),
  kind        text not null,
  ticket_id   uuid,
  reason      text not null,
  detail      text not null,
  payload     jsonb not null default '{}',
  created_at  timestamptz not null default clock_timestamp(),
  redriven_at timestamptz,
  redriven_by text
);
create index dead_letters_open on dead_letters (created_at desc, id desc) where redriven_at is null;
create index dead_letters_by_ticket on dead_letters (ticket_id) where ticket_id is not null;

create table checkpoints (
  thread_id     text not null,
  checkpoint_ns text not null,
  checkpoint_id text not null,
  parent_id     text,
  checkpoint    jsonb not null,
  metadata      jsonb not null,
  channels      jsonb not null,
  created_at    timestamptz not null default clock_timestamp(),
  primary key (thread_id, checkpoint_ns, checkpoint_id)
);
comment on column checkpoints.channels is
  'Only the channel values that are new in this checkpoint: {channel: {"v": version, ...}}; older ones stand in the ancestors.';

create table checkpoint_writes (
  thread_id     text not null,
  checkpoint_ns text not null,
  checkpoint_id text not null,
  task_id       text not null,
  idx           integer not null,
  task_path     text not null default '',
  channel       text not null,
  value         jsonb not null,
  primary key (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);

-- One change -------------------------------------------------------------------------------------------------------

-- The ticket after one event. The same rules as ticketflow.domain.events.fold.
create function ticketflow_fold(t tickets, changes jsonb, seq integer, at timestamptz) returns tickets
language plpgsql as $$
begin
  if changes ?| array['id', 'version', 'created_at', 'updated_at', 'started_at', 'completed_at'] then
    raise exception 'an event may not set a derived column' using errcode = 'check_violation';
  end if;
  if changes <> '{}' then
    t := jsonb_populate_record(t, changes);
    if changes ? 'status' then
      if t.status = 'processing' and t.started_at is null then
        t.started_at := at;
      end if;
      t.completed_at := case when t.status in ('completed', 'failed_permanent', 'cancelled') then at end;
    end if;
  end if;
  t.version := seq;
  t.updated_at := at;
  return t;
end $$;

-- An event that names no request goes back to the same one as the event before it.
create function ticketflow_append(ticket_id uuid, seq integer, e jsonb, change_id uuid, at timestamptz) returns void
language sql as $$
  insert into events (ticket_id, seq, event_type, step_name, actor, payload, changes, request_id, change_id, created_at)
  values ($1, $2, $3->>'event_type', $3->>'step_name', $3->>'actor', coalesce($3->'payload', '{}'),
          coalesce($3->'changes', '{}'),
          coalesce($3->>'request_id', (select p.request_id from events p where p.ticket_id = $1 and p.seq = $2 - 1)),
          $4, $5);
$$;

create function ticketflow_store(t tickets) returns void language sql as $$
  update tickets set
    status = $1.status, waiting_for = $1.waiting_for, category = $1.category, priority = $1.priority, tags = $1.tags,
    team = $1.team, result = $1.result, error = $1.error, version = $1.version, attempt = $1.attempt,
    flow_version = $1.flow_version, started_at = $1.started_at, completed_at = $1.completed_at,
    updated_at = $1.updated_at
  where id = $1.id;
$$;

create function ticketflow_put_checkpoint(p jsonb) returns void language sql as $$
  insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels)
  values ($1->>'thread_id', $1->>'checkpoint_ns', $1->>'checkpoint_id', $1->>'parent_id', $1->'checkpoint',
          $1->'metadata', $1->'channels')
  on conflict (thread_id, checkpoint_ns, checkpoint_id) do update
    set parent_id = excluded.parent_id, checkpoint = excluded.checkpoint, metadata = excluded.metadata,
        channels = excluded.channels;
$$;

-- Sent again after a lost answer: what this change did the first time, or null.
create function ticketflow_first_outcome(p_ticket_id uuid, p_change_id uuid) returns jsonb
language sql stable as $$
  select jsonb_build_object('status', 'applied', 'version', max(seq), 'repeated', true)
  from events where ticket_id = p_ticket_id and change_id = p_change_id having count(*) > 0;
$$;

create function ticketflow_apply(c jsonb) returns jsonb language plpgsql as $$
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
    t := jsonb_populate_record(null::tickets, '{"vip": false, "tags": [], "metadata": {}, "attempt": 1}');
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
          jsonb_build_object('status', 'refused', 'reason', 'lease', 'version', t.version));
      end if;
      if holder.last_change_id = change_id then
        return ticketflow_first_outcome(tid, change_id);
      end if;
      if coalesce((guard->>'release')::boolean, false) then
        delete from leases where leases.ticket_id = tid;
      else
        update leases set last_change_id = change_id, takeovers = 0 where leases.ticket_id = tid;
      end if;
    else
      raise exception 'unknown guard %', guard_kind using errcode = 'check_violation';
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
    insert into outbox (ticket_id, lane, reason, headers)
    select tid, value->>'lane', value->>'reason', coalesce(value->'headers', '{}')
    from jsonb_array_elements(c->'wake_ups');
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

-- Many changes in one call: [change, ...] -> [outcome, ...] in the same order, each applied whole or refused whole.
create function ticketflow_commit(changes jsonb) returns jsonb language plpgsql as $$
declare
  outcomes jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(changes)]);
  item     record;
begin
  -- Keys before tickets and both in order, so that two callers with the same rows never wait for each other in a ring.
  for item in
    select (value->'guard'->>'window_key')::uuid as key, (value->>'ticket_id')::uuid as ticket_id,
           (value->'guard'->>'window_ms')::double precision as window_ms
    from jsonb_array_elements(changes) where value->'guard' ? 'window_key' order by 1
  loop
    insert into intake_keys as k (key, ticket_id) values (item.key, item.ticket_id)
    on conflict (key) do update set ticket_id = excluded.ticket_id, created_at = excluded.created_at
      where k.created_at < clock_timestamp() - item.window_ms * interval '1 millisecond';
  end loop;
  -- Last come texts that are another ticket's already: they lock nothing, and that ticket may be created in this call.
  for item in
    select value as change, ordinality from jsonb_array_elements(changes) with ordinality
    order by exists (select from intake_keys k where k.key = (value->'guard'->>'window_key')::uuid
                     and k.ticket_id <> (value->>'ticket_id')::uuid), (value->>'ticket_id')::uuid, ordinality
  loop
    outcomes[item.ordinality] := ticketflow_apply(item.change);
  end loop;
  return to_jsonb(outcomes);
end $$;

-- Leases -----------------------------------------------------------------------------------------------------------

-- The newest checkpoint of a thread with every channel value resolved, or null.
create function ticketflow_checkpoint_channels(p_thread text, p_ns text, p_versions jsonb) returns jsonb
language sql stable as $$
  select coalesce(jsonb_object_agg(ch.key, ch.value), '{}')
  from checkpoints c, jsonb_each(c.channels) ch
  where c.thread_id = p_thread and c.checkpoint_ns = p_ns and p_versions->>ch.key = ch.value->>'v';
$$;

create function ticketflow_latest_checkpoint(p_thread text) returns jsonb language sql stable as $$
  select jsonb_build_object('checkpoint_id', c.checkpoint_id, 'parent_id', c.parent_id, 'checkpoint', c.checkpoint,
    'metadata', c.metadata, 'channels',
    ticketflow_checkpoint_channels(c.thread_id, c.checkpoint_ns, c.checkpoint->'channel_versions'))
  from checkpoints c where c.thread_id = p_thread and c.checkpoint_ns = '' order by c.checkpoint_id desc limit 1;
$$;

-- {worker, ttl_ms, claimable, claims: [{ticket_id, token, takeover, first_event, takeover_event}]} -> [outcome, ...]
-- A held ticket is given up only when its lease has run out or when the caller knows that its holder is gone (takeover).
create function ticketflow_claim(args jsonb) returns jsonb language plpgsql as $$
declare
  outcomes jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(args->'claims')]);
  claim    record;
  t        tickets%rowtype;
  holder   leases%rowtype;
  held     boolean;
  ended    integer;
  e        jsonb;
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
    ended := case when held then holder.takeovers else 0 end;
    if not held or holder.token <> claim.token then
      at := clock_timestamp();
      if t.status = 'processing' then
        e := jsonb_set(claim.value->'takeover_event', '{payload,previous_worker}',
                       coalesce(to_jsonb(holder.worker), 'null'));
        if held and (holder.released or holder.worker = args->>'worker') then
          -- Given back, or ours already: the answer to our own claim was lost, and nobody died.
          e := jsonb_set(e, '{payload,reason}', '"handover"');
        else
          ended := ended + 1;
        end if;
      else
        e := claim.value->'first_event';
      end if;
      t := ticketflow_fold(t, coalesce(e->'changes', '{}'), t.version + 1, at);
      perform ticketflow_append(t.id, t.version, e, claim.token, at);
      perform ticketflow_store(t);
      insert into leases (ticket_id, token, worker, expires_at, takeovers)
      values (t.id, claim.token, args->>'worker',
              at + (args->>'ttl_ms')::double precision * interval '1 millisecond', ended)
      on conflict (ticket_id) do update
        set token = excluded.token, worker = excluded.worker, expires_at = excluded.expires_at,
            takeovers = excluded.takeovers, released = false, last_change_id = null;
      delete from wake_ups where wake_ups.ticket_id = t.id;
    end if;
    outcomes[claim.ordinality] := jsonb_build_object('status', 'claimed', 'ticket', to_jsonb(t), 'takeovers', ended,
      'request_id', (select events.request_id from events where events.ticket_id = t.id and events.seq = t.version),
      'checkpoint', case when t.version > 2 then ticketflow_latest_checkpoint(t.id::text) end);
  end loop;
  return to_jsonb(outcomes);
end $$;

-- {ttl_ms, leases: [{ticket_id, token}]} -> [ticket ids that are no longer ours]
create function ticketflow_extend(args jsonb) returns jsonb language sql as $$
  with wanted as (
    select (value->>'ticket_id')::uuid as ticket_id, (value->>'token')::uuid as token
    from jsonb_array_elements(args->'leases')
  ), mine as (
    select l.ticket_id from leases l join wanted w on w.ticket_id = l.ticket_id and w.token = l.token
    order by l.ticket_id for update of l
  ), extended as (
    update leases l
    set expires_at = clock_timestamp() + (args->>'ttl_ms')::double precision * interval '1 millisecond'
    from mine where l.ticket_id = mine.ticket_id returning l.ticket_id
  )
  select coalesce(jsonb_agg(w.ticket_id), '[]') from wanted w
  where w.ticket_id not in (select ticket_id from extended);
$$;

-- {leases: [{ticket_id, token}], lanes: {priority: lane}}: give tickets back so that any worker may go on with them at once.
create function ticketflow_release(args jsonb) returns jsonb language sql as $$
  with wanted as (
    select (value->>'ticket_id')::uuid as ticket_id, (value->>'token')::uuid as token
    from jsonb_array_elements(args->'leases')
  ), mine as (
    select l.ticket_id from leases l join wanted w on w.ticket_id = l.ticket_id and w.token = l.token
    order by l.ticket_id for update of l
  ), released as (
    update leases l set expires_at = clock_timestamp(), released = true from mine where l.ticket_id = mine.ticket_id
    returning l.ticket_id
  ), woken as (
    insert into outbox (ticket_id, lane, reason)
    select t.id, coalesce(args->'lanes'->>t.priority, 'normal'), 'released'
    from released r join tickets t on t.id = r.ticket_id returning ticket_id
  )
  select coalesce(jsonb_agg(ticket_id), '[]') from woken;
$$;

-- {id, by, claimable, lanes, headers} -> whether it was open. A dead message is closed; the ticket that it names gets a
-- new wake-up if it still waits for a worker.
create function ticketflow_dead_message_close(args jsonb) returns jsonb language plpgsql as $$
declare
  letter dead_letters%rowtype;
begin
  update dead_letters set redriven_at = clock_timestamp(), redriven_by = args->>'by'
  where id = (args->>'id')::uuid and kind = 'message' and redriven_at is null returning * into letter;
  if not found then
    return 'false';
  end if;
  insert into outbox (ticket_id, lane, reason, headers)
  select id, coalesce(args->'lanes'->>priority, 'normal'), 'redriven', args->'headers'
  from tickets where id = letter.ticket_id and args->'claimable' ? status;
  return 'true';
end $$;

-- Outbox, timers, sweeper ------------------------------------------------------------------------------------------

-- {limit, hold_ms, sent: [ids]} -> [{id, ticket_id, lane, reason, headers, created_at}]
-- Deletes what the caller has published and takes the next rows, in one call.
create function ticketflow_outbox_take(args jsonb) returns jsonb language plpgsql as $$
declare
  taken jsonb;
begin
  if jsonb_array_length(coalesce(args->'sent', '[]')) > 0 then
    delete from outbox where id in (select value::bigint from jsonb_array_elements_text(args->'sent'));
  end if;
  with next as (
    select id from outbox where available_at <= clock_timestamp()
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

-- {ids: [...]}: the broker could not be reached; offer the rows again at once.
create function ticketflow_outbox_return(args jsonb) returns jsonb language sql as $$
  with back as (
    update outbox set available_at = clock_timestamp()
    where id in (select value::bigint from jsonb_array_elements_text(args->'ids')) returning id
  ) select to_jsonb(count(*)) from back;
$$;

-- {limit, hold_ms} -> [{ticket_id, kind, ticket: {...}}]; the change that acts on a timer cancels it, guarded by version.
create function ticketflow_timers_due(args jsonb) returns jsonb language sql as $$
  with due as (
    select ticket_id, kind from timers
    where due_at <= clock_timestamp() and taken_until <= clock_timestamp()
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

-- {ticket_id, kind}: drop a timer that no longer means anything.
create function ticketflow_timer_drop(args jsonb) returns jsonb language sql as $$
  with gone as (
    delete from timers where ticket_id = (args->>'ticket_id')::uuid and kind = args->>'kind' returning 1
  ) select to_jsonb(count(*)) from gone;
$$;

-- {stale_ms, limit, lanes: {priority: lane}, dedupe_ms} -> [ticket ids woken]
-- Finds tickets that no message will ever wake: nobody holds them, nothing in the outbox names them, and they have
-- been still for longer than stale_ms (doubling with each vain wake-up, so that a long queue is not flooded).
create function ticketflow_sweep(args jsonb) returns jsonb language plpgsql as $$
declare
  woken jsonb;
  stale interval := (args->>'stale_ms')::double precision * interval '1 millisecond';
begin
  -- One process at a time: two would wake the same tickets, each before it sees what the other wrote.
  if not pg_try_advisory_xact_lock(7236428002) then
    return '[]';
  end if;
  delete from intake_keys where key in (
    select key from intake_keys
    where created_at < clock_timestamp() - (args->>'dedupe_ms')::double precision * interval '1 millisecond'
    order by created_at limit 1000 for update skip locked);
  with still as (
    select t.id, t.priority from tickets t
    left join leases l on l.ticket_id = t.id
    left join wake_ups w on w.ticket_id = t.id
    where t.status in ('pending', 'processing')
      and (l.ticket_id is null and t.updated_at < clock_timestamp() - stale or l.expires_at < clock_timestamp())
      and (w.ticket_id is null or w.last_at < clock_timestamp() - stale * power(2, least(w.times, 8)))
      and not exists (select from outbox o where o.ticket_id = t.id)
    order by t.created_at, t.id limit (args->>'limit')::integer for update of t skip locked
  ), noted as (
    insert into wake_ups as w (ticket_id, last_at) select id, clock_timestamp() from still
    on conflict (ticket_id) do update set last_at = excluded.last_at, times = w.times + 1
  ), sent as (
    insert into outbox (ticket_id, lane, reason)
    select id, coalesce(args->'lanes'->>priority, 'normal'), 'sweep' from still returning ticket_id
  )
  select coalesce(jsonb_agg(ticket_id), '[]') into woken from sent;
  return woken;
end $$;
