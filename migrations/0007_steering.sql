-- Steering: people pause, resume, cancel and replay tickets, and tickets under way outlive a change of the graph.
-- Everything that the release before calls keeps its name and its meaning.

alter table tickets add column excused_attempts integer not null default 0;
comment on column tickets.excused_attempts is
  'Attempts that do not count against the limit: those before a person asked for another, and those in an outage.';

-- The order in which checkpoints were written. Their ids carry the clocks of the machines that made them: after a take-over by
-- a machine whose clock is behind, the newest checkpoint has not the greatest id.
alter table checkpoints add column position bigint generated always as identity;

-- Every Change and not only the last: one that a slow network kept may come again after the holder has gone on.
alter table leases add column change_ids uuid[] not null default '{}';
update leases set change_ids = array[last_change_id] where last_change_id is not null;
alter table leases drop column last_change_id;
comment on column leases.change_ids is 'What was committed under this token.';

-- A message also comes again when a connection was lost and the worker behind it lives. Who claims again was not lost.
alter table leases add column lost_workers text[] not null default '{}';
comment on column leases.lost_workers is 'Taken to be lost on this ticket since a step was last completed, and not seen since.';

create or replace function ticketflow_store(t tickets) returns void language sql as $$
  update tickets set
    status = $1.status, waiting_for = $1.waiting_for, category = $1.category, priority = $1.priority, tags = $1.tags,
    team = $1.team, result = $1.result, error = $1.error, version = $1.version, attempt = $1.attempt,
    excused_attempts = $1.excused_attempts,
    flow_version = $1.flow_version, started_at = $1.started_at, completed_at = $1.completed_at,
    updated_at = $1.updated_at
  where id = $1.id;
$$;

create or replace function ticketflow_latest_checkpoint(p_thread text) returns jsonb language sql stable as $$
  select jsonb_build_object('checkpoint_id', c.checkpoint_id, 'parent_id', c.parent_id, 'checkpoint', c.checkpoint,
    'metadata', c.metadata, 'channels',
    ticketflow_checkpoint_channels(c.thread_id, c.checkpoint_ns, c.checkpoint->'channel_versions'))
  from checkpoints c where c.thread_id = p_thread and c.checkpoint_ns = '' order by c.position desc limit 1;
$$;

-- {thread_id?, checkpoint_ns?, checkpoint_id?, before?, filter?, limit?} -> [checkpoint, ...], newest first
create or replace function ticketflow_checkpoint_list(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(ticketflow_checkpoint_full(found) order by found.position desc), '[]') from (
    select * from checkpoints c
    where (not args ? 'thread_id' or c.thread_id = args->>'thread_id')
      and (not args ? 'checkpoint_ns' or c.checkpoint_ns = args->>'checkpoint_ns')
      and (not args ? 'checkpoint_id' or c.checkpoint_id = args->>'checkpoint_id')
      and (not args ? 'before' or c.position < (
        select max(b.position) from checkpoints b where b.checkpoint_id = args->>'before'
          and (not args ? 'thread_id' or b.thread_id = args->>'thread_id')))
      and (not args ? 'filter' or c.metadata @> (args->'filter'))
    order by c.position desc limit (args->>'limit')::integer) found;
$$;

create or replace function ticketflow_checkpoint_prune(args jsonb) returns jsonb language plpgsql as $$
declare
  threads text[] := array(select jsonb_array_elements_text(args->'thread_ids'));
begin
  perform ticketflow_checkpoint_settle(threads);
  delete from checkpoints c where c.thread_id = any (threads) and exists (
    select from checkpoints n where n.thread_id = c.thread_id and n.checkpoint_ns = c.checkpoint_ns
      and n.position > c.position);
  delete from checkpoint_writes w where w.thread_id = any (threads) and not exists (
    select from checkpoints c where c.thread_id = w.thread_id and c.checkpoint_ns = w.checkpoint_ns
      and c.checkpoint_id = w.checkpoint_id);
  return 'true';
end $$;

create or replace function ticketflow_checkpoint_copy(args jsonb) returns jsonb language sql as $$
  insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels, created_at)
  select args->>'target', checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels, created_at
  from checkpoints where thread_id = args->>'source' order by position
  on conflict do nothing;
  insert into checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
  select args->>'target', checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value
  from checkpoint_writes where thread_id = args->>'source'
  on conflict do nothing;
  select 'true'::jsonb;
$$;

-- {from: checkpoint id or null, id: of the new one} -> whether there is such a checkpoint. The thread goes on from a copy of
-- it, or with null from the very beginning; what came after it stays for whoever wants to look.
create function ticketflow_restart(p_thread text, restart jsonb) returns boolean language plpgsql as $$
begin
  if restart->>'from' is null then
    insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata, channels)
    values (p_thread, '', restart->>'id',
            -- What LangGraph calls an empty checkpoint: a graph that finds it starts with its input.
            jsonb_build_object('v', 2, 'id', restart->>'id', 'ts', to_jsonb(clock_timestamp()), 'channel_versions', '{}'::jsonb,
                               'versions_seen', '{}'::jsonb, 'pending_sends', '[]'::jsonb, 'updated_channels', null),
            '{"source": "fork", "step": -2, "parents": {}}', '{}');
    return true;
  end if;
  insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels)
  select thread_id, checkpoint_ns, restart->>'id', checkpoint_id,
         jsonb_set(checkpoint, '{id}', restart->'id'), metadata || '{"source": "fork"}', '{}'
  from checkpoints where thread_id = p_thread and checkpoint_ns = '' and checkpoint_id = restart->>'from';
  return found;
end $$;

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
    t := jsonb_populate_record(null::tickets, '{"vip": false, "tags": [], "metadata": {}, "attempt": 1, "excused_attempts": 0}');
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

-- Leases -----------------------------------------------------------------------------------------------------------

-- {worker, ttl_ms, claimable, claims: [{ticket_id, token, takeover, first_event, takeover_event}],
--  flows: [versions that the caller can run], flow: the one that it starts tickets on, flow_wait_ms, lanes} -> [outcome, ...]
-- A ticket without a checkpoint starts on the caller's flow. One that is under way on a flow which the caller does not know is
-- left alone, and a message wakes it again after flow_wait_ms: workers of the release that knows it are about.
-- A held ticket is given up only when its lease has run out or when the caller knows that its holder is gone (takeover).
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
    if saved is not null and not coalesce(args->'flows' ? t.flow_version, true) then
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
      'checkpoint', saved);
  end loop;
  return to_jsonb(outcomes);
end $$;

-- {ttl_ms, leases: [{ticket_id, token}]} -> [ticket ids that are no longer ours]
-- What we gave back meanwhile stays free for whoever comes, and is not lost.
create or replace function ticketflow_extend(args jsonb) returns jsonb language sql as $$
  with wanted as (
    select (value->>'ticket_id')::uuid as ticket_id, (value->>'token')::uuid as token
    from jsonb_array_elements(args->'leases')
  ), mine as (
    select l.ticket_id, l.released from leases l join wanted w on w.ticket_id = l.ticket_id and w.token = l.token
    order by l.ticket_id for update of l
  ), extended as (
    update leases l
    set expires_at = clock_timestamp() + (args->>'ttl_ms')::double precision * interval '1 millisecond'
    from mine where l.ticket_id = mine.ticket_id and not mine.released
  )
  select coalesce(jsonb_agg(w.ticket_id), '[]') from wanted w
  where w.ticket_id not in (select ticket_id from mine);
$$;

-- {ttl_ms, worker, leases: [{ticket_id, token}]} -> [{ticket_id, ticket_status}] of those that are no longer ours
-- Whoever asks is alive, whatever those believed who took its tickets.
create function ticketflow_keep_leases(args jsonb) returns jsonb language plpgsql as $$
declare
  lost uuid[] := array(select jsonb_array_elements_text(ticketflow_extend(args))::uuid order by 1);
begin
  update leases set lost_workers = array_remove(lost_workers, args->>'worker') where ticket_id = any (lost);
  return (select coalesce(jsonb_agg(jsonb_build_object('ticket_id', id, 'ticket_status', (
    select t.status from tickets t where t.id = gone.id))), '[]') from unnest(lost) as gone (id));
end $$;

-- {leases: [{ticket_id, token}], lanes: {priority: lane}, wait_ms}: give tickets back so that any worker may go on with them
-- at once, or after wait_ms.
create or replace function ticketflow_release(args jsonb) returns jsonb language sql as $$
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
    insert into outbox (ticket_id, lane, reason, available_at)
    select t.id, coalesce(args->'lanes'->>t.priority, 'normal'), 'released',
           clock_timestamp() + coalesce((args->>'wait_ms')::double precision, 0) * interval '1 millisecond'
    from released r join tickets t on t.id = r.ticket_id returning ticket_id
  )
  select coalesce(jsonb_agg(ticket_id), '[]') from woken;
$$;

-- Queue --------------------------------------------------------------------------------------------------------------

-- {consumer, ttl_ms, keep: [ids]}: a sign of life; frees the messages of consumers that gave none, and those in our own
-- name that we do not know of because the answer that gave them to us was lost. -> number freed
create or replace function ticketflow_queue_beat(args jsonb) returns jsonb language plpgsql as $$
declare
  me       constant uuid := (args->>'consumer')::uuid;
  too_old  constant timestamptz := clock_timestamp() - (args->>'ttl_ms')::double precision * interval '1 millisecond';
  was_away constant boolean := exists (select from queue_consumers where id = me and seen_at < too_old);
  freed    integer;
begin
  insert into queue_consumers (id, seen_at) values (me, clock_timestamp())
  on conflict (id) do update set seen_at = excluded.seen_at;
  -- Whoever was away that long itself cannot tell the dead from those who could not reach the database either.
  if not was_away then
    delete from queue_consumers where seen_at < too_old;
  end if;
  update queue_messages m set consumer = null
  where m.consumer is not null and (
    not exists (select from queue_consumers c where c.id = m.consumer)
    or m.consumer = me and m.id not in (select value::bigint from jsonb_array_elements_text(coalesce(args->'keep', '[]'))));
  get diagnostics freed = row_count;
  return to_jsonb(freed);
end $$;

create index events_of_replay on events (ticket_id) where event_type = 'replayed';

-- What a dashboard asks for, counted here and not in the application.
create or replace function ticketflow_stats(args jsonb) returns jsonb language sql stable as $$
  with by_status as (select status, count(*) as n from tickets group by status),
       by_category as (select coalesce(category, 'unclassified') as category, count(*) as n from tickets group by 1),
       -- A result sums up the steps that led to it. Failed attempts, steps without a result yet, and those that a replay ran
       -- again are in events alone.
       replayed as (select distinct ticket_id from events where event_type = 'replayed'),
       spent as (
         select result->'usage' as usage from tickets
         where result is not null and id not in (select ticket_id from replayed)
         union all
         select payload->'usage' from events where event_type = 'error'
         union all
         select e.payload->'usage' from tickets t join events e on e.ticket_id = t.id
         where (t.result is null or t.id in (select ticket_id from replayed)) and e.event_type = 'step_complete'),
       recent as (select * from tickets where completed_at > clock_timestamp() - interval '1 hour')
  select jsonb_build_object(
    'total', (select coalesce(sum(n), 0) from by_status),
    'by_status', (select coalesce(jsonb_object_agg(status, n), '{}') from by_status),
    'by_category', (select coalesce(jsonb_object_agg(category, n), '{}') from by_category),
    'by_disposition', (select coalesce(jsonb_object_agg(d, n), '{}') from (
      select result->>'disposition' as d, count(*) as n from tickets where status = 'completed' group by 1) x
      where d is not null),
    'completed_last_hour', (select count(*) from recent where status = 'completed'),
    'median_seconds_last_hour', (select percentile_cont(0.5) within group
      (order by extract(epoch from completed_at - created_at)) from recent where status = 'completed'),
    'p95_seconds_last_hour', (select percentile_cont(0.95) within group
      (order by extract(epoch from completed_at - created_at)) from recent where status = 'completed'),
    'tokens', (select jsonb_build_object(
        'input', coalesce(sum(trunc(ticketflow_figure(usage->'input_tokens'))), 0),
        'output', coalesce(sum(trunc(ticketflow_figure(usage->'output_tokens'))), 0)) from spent),
    'cost_usd', (select coalesce(sum(ticketflow_figure(usage->'cost_usd')), 0) from spent),
    'dead_letters', (select count(*) from dead_letters where redriven_at is null));
$$;

-- Audit ------------------------------------------------------------------------------------------------------------

-- {after: id, limit} -> [{ticket, events, lease, timers, outbox, open_dead_letters, checkpoints}] for the consistency audit;
-- checkpoints are the ids of the ticket's own thread, oldest first
create or replace function ticketflow_audit(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'ticket', to_jsonb(t),
    'events', (select coalesce(jsonb_agg(to_jsonb(e) order by e.seq), '[]') from events e where e.ticket_id = t.id),
    'lease', (select to_jsonb(l) from leases l where l.ticket_id = t.id),
    'timers', (select coalesce(jsonb_agg(to_jsonb(m)), '[]') from timers m where m.ticket_id = t.id),
    'outbox', (select count(*) from outbox o where o.ticket_id = t.id),
    'checkpoints', (select coalesce(jsonb_agg(c.checkpoint_id order by c.position), '[]') from checkpoints c
                    where c.thread_id = t.id::text and c.checkpoint_ns = ''),
    'open_dead_letters', (select count(*) from dead_letters d where d.ticket_id = t.id and d.kind = 'ticket'
                            and d.redriven_at is null))
    order by t.id), '[]')
  from (select * from tickets where not args ? 'after' or id > (args->>'after')::uuid
        order by id limit (args->>'limit')::integer) t;
$$;

-- {} -> [{table, ticket_id}, ...]: rows that name a ticket which is not there
create function ticketflow_strays(args jsonb) returns jsonb language sql stable as $$
  with named as (
    select 'events' as place, ticket_id from events
    union select 'leases', ticket_id from leases
    union select 'outbox', ticket_id from outbox
    union select 'timers', ticket_id from timers
    union select 'dead_letters', ticket_id from dead_letters where kind = 'ticket'
  )
  select coalesce(jsonb_agg(jsonb_build_object('table', place, 'ticket_id', ticket_id) order by place, ticket_id), '[]')
  from named where not exists (select from tickets t where t.id = named.ticket_id);
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
