-- Reads: one JSON argument, one JSON result, so that a direct connection and a REST gateway can both call them.

create function ticketflow_ticket(args jsonb) returns jsonb language sql stable as $$
  select to_jsonb(t) from tickets t where id = (args->>'id')::uuid;
$$;

-- {filters..., sort: created_at | -created_at, limit, after: {created_at, id}} -> [ticket, ...]
create function ticketflow_tickets(args jsonb) returns jsonb language plpgsql stable as $$
declare
  query  text := 'select coalesce(jsonb_agg(to_jsonb(t)), ''[]'') from (select * from tickets where true';
  rising constant boolean := coalesce(args->>'sort', '-created_at') = 'created_at';
  field  text;
  found_ jsonb;
begin
  foreach field in array array['status', 'category', 'priority', 'team', 'customer_id', 'channel'] loop
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

-- {ticket_id, after, limit} -> null for an unknown ticket, else [event, ...] in seq order
create function ticketflow_events(args jsonb) returns jsonb language sql stable as $$
  select case when exists (select from tickets where id = (args->>'ticket_id')::uuid) then
    coalesce((select jsonb_agg(to_jsonb(e) - 'change_id' order by e.seq) from (
      select * from events where ticket_id = (args->>'ticket_id')::uuid and seq > coalesce((args->>'after')::integer, 0)
      order by seq limit (args->>'limit')::integer) e), '[]') end;
$$;

-- {watch: [{ticket_id, after}]} -> [event, ...]: news of many tickets in one call, for the event streams
create function ticketflow_events_of(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(e) - 'change_id' order by e.ticket_id, e.seq), '[]')
  from jsonb_array_elements(args->'watch') w
  join events e on e.ticket_id = (w->>'ticket_id')::uuid and e.seq > (w->>'after')::integer;
$$;

-- {ticket_id} -> what will wake the ticket and who works on it
create function ticketflow_wakers(args jsonb) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'lease', (select jsonb_build_object('worker', worker, 'expires_at', expires_at, 'takeovers', takeovers)
              from leases where ticket_id = (args->>'ticket_id')::uuid),
    'timers', (select coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'due_at', due_at)), '[]')
               from timers where ticket_id = (args->>'ticket_id')::uuid),
    'outbox', (select count(*) from outbox where ticket_id = (args->>'ticket_id')::uuid));
$$;

-- {customer_id, except, limit} -> the customer's latest other tickets
create function ticketflow_history(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object('ticket_id', id, 'subject', subject, 'category', category,
    'status', status, 'disposition', result->>'disposition', 'created_at', created_at)
    order by created_at desc), '[]')
  from (select * from tickets where customer_id = args->>'customer_id' and id <> (args->>'except')::uuid
        order by created_at desc, id desc limit (args->>'limit')::integer) t;
$$;

-- A figure out of a JSON document; 0 for what is no plausible one, so that a single odd document cannot break a sum.
create function ticketflow_figure(value jsonb) returns numeric language sql immutable as $$
  select case jsonb_typeof(value) when 'number' then
    case when value::numeric between 0 and 1e12 then value::numeric else 0 end else 0 end;
$$;

create index events_of_failure on events (ticket_id) where event_type = 'error';

-- What a dashboard asks for, counted here and not in the application.
create function ticketflow_stats(args jsonb) returns jsonb language sql stable as $$
  with by_status as (select status, count(*) as n from tickets group by status),
       by_category as (select coalesce(category, 'unclassified') as category, count(*) as n from tickets group by 1),
       -- A result sums up the steps that led to it; failed attempts, and steps without a result yet, are in events alone.
       spent as (
         select result->'usage' as usage from tickets where result is not null
         union all
         select payload->'usage' from events where event_type = 'error'
         union all
         select e.payload->'usage' from tickets t join events e on e.ticket_id = t.id
         where t.result is null and e.event_type = 'step_complete'),
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

-- The figures behind the gauges: cheap enough for every scrape.
create function ticketflow_gauges(args jsonb) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'outbox_pending', (select count(*) from outbox),
    'outbox_oldest_age_seconds', (select coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0) from outbox),
    'waiting', (select coalesce(jsonb_object_agg(waiting_for, n), '{}') from (
      select waiting_for, count(*) as n from tickets where status = 'waiting' and waiting_for is not null
      group by waiting_for) w),
    'dead_letters', (select count(*) from dead_letters where redriven_at is null));
$$;

-- {limit, after: {created_at, id}, all} -> [dead letter, ...], newest first
create function ticketflow_dead_letters(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(d) order by d.created_at desc, d.id desc), '[]') from (
    select * from dead_letters
    where (redriven_at is null or coalesce((args->>'all')::boolean, false))
      and (not args ? 'after' or
           (created_at, id) < ((args->'after'->>'created_at')::timestamptz, (args->'after'->>'id')::uuid))
    order by created_at desc, id desc limit (args->>'limit')::integer) d;
$$;

create function ticketflow_dead_letter(args jsonb) returns jsonb language sql stable as $$
  select to_jsonb(d) from dead_letters d where id = (args->>'id')::uuid;
$$;

-- {id, kind, ticket_id, reason, detail, payload}: a message that no worker could use. The id makes it safe to repeat.
create function ticketflow_dead_letter_add(args jsonb) returns jsonb language sql as $$
  insert into dead_letters (id, kind, ticket_id, reason, detail, payload)
  values ((args->>'id')::uuid, args->>'kind', (args->>'ticket_id')::uuid, args->>'reason', args->>'detail',
          coalesce(args->'payload', '{}'))
  on conflict (id) do nothing;
  select 'true'::jsonb;
$$;

-- {after: id, limit} -> [{ticket, events, lease, timers, outbox, open_dead_letters, steps}] for the consistency audit
create function ticketflow_audit(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'ticket', to_jsonb(t),
    'events', (select coalesce(jsonb_agg(to_jsonb(e) order by e.seq), '[]') from events e where e.ticket_id = t.id),
    'lease', (select to_jsonb(l) from leases l where l.ticket_id = t.id),
    'timers', (select coalesce(jsonb_agg(to_jsonb(m)), '[]') from timers m where m.ticket_id = t.id),
    'outbox', (select count(*) from outbox o where o.ticket_id = t.id),
    'open_dead_letters', (select count(*) from dead_letters d where d.ticket_id = t.id and d.kind = 'ticket'
                            and d.redriven_at is null))
    order by t.id), '[]')
  from (select * from tickets where not args ? 'after' or id > (args->>'after')::uuid
        order by id limit (args->>'limit')::integer) t;
$$;

-- Events whose ticket is gone: the other half of "row = fold of events".
create function ticketflow_orphans(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(distinct e.ticket_id), '[]') from events e
  where not exists (select from tickets t where t.id = e.ticket_id);
$$;
