-- Statistics that cost the same however many tickets there are: those that ended are tallied once, the rest is counted.

-- What ended up to the mark 'tallies', summed up. A change of a ticket that had ended goes to the corrections, as what it
-- takes away and what it adds at the times of its end before and after. One whose time lies behind the mark belongs to the sums;
-- one before it does not: that ticket will be counted as it is then.
create table tallies (
  status        text not null,
  category      text not null,
  disposition   text not null,
  tickets       bigint not null,
  input_tokens  numeric not null,
  output_tokens numeric not null,
  cost_usd      numeric not null,
  primary key (status, category, disposition)
) with (fillfactor = 50);
comment on table tallies is 'Sums over the tickets that had ended by the mark ''tallies''; disposition '''' is none.';
alter table tallies enable row level security;

create table tally_corrections (
  id            bigint generated always as identity primary key,
  completed_at  timestamptz not null,
  status        text not null,
  category      text not null,
  disposition   text not null,
  tickets       bigint not null,
  input_tokens  numeric not null,
  output_tokens numeric not null,
  cost_usd      numeric not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
comment on table tally_corrections is 'What a change of a ticket that had ended takes from the tallies, or adds to them.';
alter table tally_corrections enable row level security;

alter table marks add column settled_until timestamptz, add column settled_by xid8;
comment on column marks.settled_until is 'Whatever ended until then is committed once no transaction before settled_by runs.';

-- What a ticket adds to the statistics. Of its trail it sees what had happened by its version, so that the same version adds
-- the same for ever. Column by column: a whole row would have its text unpacked.
create function ticketflow_share(p_id uuid, p_version integer, p_status text, p_category text, p_result jsonb)
returns table (status text, category text, disposition text, tickets bigint, input_tokens numeric, output_tokens numeric,
               cost_usd numeric)
language sql stable as $$
  with summed as (
    -- A result sums up the steps that led to it. Failed attempts, steps without a result yet, and those that a replay ran
    -- again are in events alone.
    select p_result is not null and not exists (
      select from events e where e.ticket_id = p_id and e.event_type = 'replayed' and e.seq <= p_version) as up
  ), spent as (
    select p_result->'usage' as usage from summed where up
    union all
    select e.payload->'usage' from events e where e.ticket_id = p_id and e.event_type = 'error' and e.seq <= p_version
    union all
    select e.payload->'usage' from summed join events e on not up
    where e.ticket_id = p_id and e.event_type = 'step_complete' and e.seq <= p_version
  )
  select p_status, coalesce(p_category, 'unclassified'),
         coalesce(case when p_status = 'completed' then p_result->>'disposition' end, ''), 1::bigint,
         coalesce(sum(trunc(ticketflow_figure(usage->'input_tokens'))), 0),
         coalesce(sum(trunc(ticketflow_figure(usage->'output_tokens'))), 0),
         coalesce(sum(ticketflow_figure(usage->'cost_usd')), 0)
  from spent;
$$;

create function ticketflow_correct_tallies() returns trigger language plpgsql as $$
begin
  insert into tally_corrections (completed_at, status, category, disposition, tickets, input_tokens, output_tokens, cost_usd)
  select old.completed_at, s.status, s.category, s.disposition, -s.tickets, -s.input_tokens, -s.output_tokens, -s.cost_usd
  from ticketflow_share(old.id, old.version, old.status, old.category, old.result) s;
  if tg_op = 'UPDATE' and new.completed_at is not null then
    insert into tally_corrections (completed_at, status, category, disposition, tickets, input_tokens, output_tokens, cost_usd)
    select new.completed_at, s.* from ticketflow_share(new.id, new.version, new.status, new.category, new.result) s;
  end if;
  return null;
end $$;

-- Steps, ends, and what people write about a ticket that has ended fire neither.
create trigger tallied_tickets_change after update on tickets for each row
  when (old.completed_at is not null
        and (old.completed_at, old.status, old.category, old.result)
            is distinct from (new.completed_at, new.status, new.category, new.result))
  execute function ticketflow_correct_tallies();
create trigger tallied_tickets_go after delete on tickets for each row when (old.completed_at is not null)
  execute function ticketflow_correct_tallies();

-- {limit, settle_ms} -> {tickets, more}
-- Takes the next tickets that ended more than settle_ms ago into the tallies, as many as the limit and those that ended at the
-- same moment as the last of them. One process at a time goes on where the last one stopped.
create function ticketflow_tally_next(args jsonb) returns jsonb language plpgsql as $$
declare
  mark    marks%rowtype;
  upto    timestamptz;
  counted bigint;
begin
  if not pg_try_advisory_xact_lock(7236428004) then
    return '{"tickets": 0, "more": false}';
  end if;
  insert into marks (name, completed_at, id) values ('tallies', '-infinity', '00000000-0000-0000-0000-000000000000')
  on conflict do nothing;
  select * into mark from marks where name = 'tallies';
  upto := mark.completed_at;
  if mark.settled_by <= pg_snapshot_xmin(pg_current_snapshot()) then
    execute format('select completed_at from tickets where completed_at > %L and completed_at <= %L
                    order by completed_at offset %L limit 1',
                   mark.completed_at, mark.settled_until, (args->>'limit')::integer - 1) into upto;
    upto := coalesce(upto, mark.settled_until);
  end if;

  -- One statement sees tickets and corrections as of one moment. A change that it does not see adds its correction to what was
  -- counted here; one that it sees was counted, and its correction is void.
  execute format($count$
    with counted as (
      select s.* from tickets t cross join lateral ticketflow_share(t.id, t.version, t.status, t.category, t.result) s
      where t.completed_at > %1$L and t.completed_at <= %2$L
    ), corrections as (
      delete from tally_corrections where completed_at <= %2$L returning *
    ), parts as (
      select * from counted
      union all
      select status, category, disposition, tickets, input_tokens, output_tokens, cost_usd from corrections
      where completed_at <= %1$L
    ), added as (
      insert into tallies as sums
      select status, category, disposition, sum(tickets), sum(input_tokens), sum(output_tokens), sum(cost_usd) from parts
      group by status, category, disposition
      on conflict (status, category, disposition) do update
        set tickets = sums.tickets + excluded.tickets, input_tokens = sums.input_tokens + excluded.input_tokens,
            output_tokens = sums.output_tokens + excluded.output_tokens, cost_usd = sums.cost_usd + excluded.cost_usd
    )
    select count(*) from counted $count$, mark.completed_at, upto) into counted;
  update marks set completed_at = upto where name = 'tallies';

  -- Whoever ends a ticket has a transaction id before it takes the time: those of now() and before have one below ours. An id
  -- that is still to come is another server's, from which this database was restored.
  if mark.settled_by is null or upto = mark.settled_until or mark.settled_by > pg_current_xact_id() then
    update marks
    set settled_until = greatest(upto, now() - (args->>'settle_ms')::double precision * interval '1 millisecond'),
        settled_by = pg_current_xact_id()
    where name = 'tallies';
  end if;
  return jsonb_build_object('tickets', counted, 'more', upto > mark.completed_at and upto < mark.settled_until);
end $$;

-- What a dashboard asks for, counted here and not in the application: the tallies, what ended since, and what has not ended.
-- The times stand in the query, so that the planner sees how few tickets are after them. To compile it takes longer than to run it.
create or replace function ticketflow_stats(args jsonb) returns jsonb language plpgsql stable set jit = off as $$
declare
  tallied constant timestamptz := coalesce((select completed_at from marks where name = 'tallies'), '-infinity');
  stats   jsonb;
begin
  execute format($count$
    with parts as (
      select status, category, disposition, tickets, input_tokens, output_tokens, cost_usd from tallies
      union all
      select status, category, disposition, tickets, input_tokens, output_tokens, cost_usd from tally_corrections
      where completed_at <= %1$L
      union all
      select s.* from tickets t cross join lateral ticketflow_share(t.id, t.version, t.status, t.category, t.result) s
      where t.completed_at > %1$L
      union all
      select s.* from tickets t cross join lateral ticketflow_share(t.id, t.version, t.status, t.category, t.result) s
      where t.status = any ('{pending,processing,waiting}')
    ), sums as materialized (
      select status, category, disposition, sum(tickets) as n, sum(input_tokens) as input, sum(output_tokens) as output,
             sum(cost_usd) as cost
      from parts group by status, category, disposition having sum(tickets) <> 0
    ), recent as (
      select count(*) as n, percentile_cont(array[0.5, 0.95]) within group
        (order by extract(epoch from completed_at - created_at)) as seconds
      from tickets where completed_at > %2$L and status = 'completed'
    )
    select jsonb_build_object(
      'total', (select coalesce(sum(n), 0) from sums),
      'by_status', (select coalesce(jsonb_object_agg(status, n), '{}') from (
        select status, sum(n) as n from sums group by status) x),
      'by_category', (select coalesce(jsonb_object_agg(category, n), '{}') from (
        select category, sum(n) as n from sums group by category) x),
      'by_disposition', (select coalesce(jsonb_object_agg(disposition, n), '{}') from (
        select disposition, sum(n) as n from sums where disposition <> '' group by disposition) x),
      'completed_last_hour', (select n from recent),
      'median_seconds_last_hour', (select seconds[1] from recent),
      'p95_seconds_last_hour', (select seconds[2] from recent),
      'tokens', (select jsonb_build_object('input', coalesce(sum(input), 0), 'output', coalesce(sum(output), 0)) from sums),
      'cost_usd', (select coalesce(sum(cost), 0) from sums),
      'dead_letters', (select count(*) from dead_letters where redriven_at is null)) $count$,
    tallied, clock_timestamp() - interval '1 hour') into stats;
  return stats;
end $$;

create or replace function ticketflow_tables() returns text[] language sql immutable as $$
  select array['tickets', 'ticket_words', 'events', 'messages', 'leases', 'outbox', 'timers', 'intake_keys', 'wake_ups',
               'dead_letters', 'checkpoints', 'checkpoint_writes', 'articles', 'passages', 'queue_messages',
               'queue_consumers', 'tokens', 'marks', 'tallies', 'tally_corrections', 'schema_migrations'];
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
