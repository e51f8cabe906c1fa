-- A Supabase project as the only way in: what a caller over REST must be able to ask, and what its customers may.

-- The record of `ticketflow migrate`, also where something else applied the files: its rights are settled with the others'.
create table if not exists schema_migrations (
  number integer primary key, name text not null, checksum text not null,
  applied_at timestamptz not null default clock_timestamp());
alter table schema_migrations enable row level security;

-- As before, but of a ticket only what events change: what was sent, and by whom, stays as it was sent.
create or replace function ticketflow_service_rights(p_table text) returns text language sql immutable as $$
  select case
    when p_table = 'schema_migrations' then 'select'
    when p_table in ('events', 'messages') then 'select, insert'
    when p_table = 'tickets' then
      'select, insert, update (status, waiting_for, category, priority, tags, team, lifecycle, assignee, result, error, version,
                               attempt, excused_attempts, flow_version, started_at, completed_at, updated_at)'
    else 'select, insert, update, delete' end;
$$;

-- Rights as they should be, for everyone but the owner: as before, and also where row-level security was switched off, or the
-- schema made anew, which nobody else may use then.
create or replace function ticketflow_secure() returns void language plpgsql as $$
declare
  others  constant text := (
    select string_agg(name, ', ') from unnest(array['public', 'anon', 'authenticated', 'service_role']) name
    where name = 'public' or to_regrole(name) is not null);
  service constant boolean := to_regrole('service_role') is not null;
  caller  name;
  ours    record;
begin
  for caller in
    select rolname from pg_roles where rolname in ('authenticated', 'service_role')
      and not has_schema_privilege(oid, current_schema()::text, 'usage')
  loop
    execute format('grant usage on schema %I to %I', current_schema(), caller);
  end loop;
  for ours in
    select c.oid::regclass as name, c.relname, c.relrowsecurity from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = current_schema() and c.relname = any (ticketflow_tables())
  loop
    if not ours.relrowsecurity then
      execute format('alter table %s enable row level security', ours.name);
    end if;
    execute format('revoke all on table %s from %s', ours.name, others);
    if service then
      execute format('grant %s on table %s to service_role', ticketflow_service_rights(ours.relname), ours.name);
    end if;
  end loop;
  for ours in
    select s.oid::regclass as name from pg_class s
    join pg_depend d on d.objid = s.oid and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
    join pg_class c on c.oid = d.refobjid join pg_namespace n on n.oid = c.relnamespace
    where s.relkind = 'S' and n.nspname = current_schema() and c.relname = any (ticketflow_tables())
  loop
    execute format('revoke all on sequence %s from %s', ours.name, others);
  end loop;
  for ours in
    select p.oid::regprocedure as name, p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = current_schema() and p.proname like 'ticketflow\_%'
  loop
    execute format('revoke all on function %s from %s', ours.name, others);
    if service and ours.proname not in ('ticketflow_secure', 'ticketflow_admit_customers') then
      execute format('grant execute on function %s to service_role', ours.name);
    end if;
  end loop;
  if to_regrole('authenticated') is not null then
    perform ticketflow_admit_customers();
  end if;
end $$;

-- Columns and rows that a portal shows, and changes of the same as Supabase's Realtime sends them. The customer is named by the
-- token: app_metadata.customer_id, else sub. The policies ask the claims themselves, so that a signed-in user may call no
-- function of ours; as json and not jsonb, which would choke on a number that is none of its business.
create or replace function ticketflow_admit_customers() returns void language plpgsql as $$
declare
  part     record;
  customer constant text := $claims$(select coalesce(
      case when json_typeof(c->'app_metadata'->'customer_id') = 'string' then nullif(c->'app_metadata'->>'customer_id', '') end,
      case when json_typeof(c->'sub') = 'string' then nullif(c->>'sub', '') end)
    from (select nullif(btrim(current_setting('request.jwt.claims', true)), '')::json) claims (c))$claims$;
  theirs   constant text := format('exists (select from tickets t where t.id = ticket_id and t.customer_id = %s)', customer);
begin
  for part in
    select * from (values
      ('tickets', 'id, customer_id, customer_email, subject, body, channel, status, lifecycle, category, priority, version,
                   created_at, updated_at, completed_at',
       format('customer_id = %s', customer)),
      ('events', 'id, ticket_id, seq, event_type, created_at',
       theirs || ' and (event_type in (''created'', ''lifecycle'', ''cancelled'')
                        or event_type = ''message'' and payload->>''kind'' = ''reply'')'),
      ('messages', 'id, ticket_id, seq, kind, author_role, body, created_at',
       theirs || ' and kind = ''reply''')) shown (name, columns, rows_)
  loop
    execute format('grant select (%s) on table %I to authenticated', part.columns, part.name);
    if not exists (select from pg_policies
                   where schemaname = current_schema() and tablename = part.name and policyname = 'customers_read_their_own') then
      execute format('create policy customers_read_their_own on %I for select to authenticated using (%s)',
                     part.name, part.rows_);
    end if;
    if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables
                 and pg_has_role(pubowner, 'usage'))
       and not exists (select from pg_publication_tables
                       where pubname = 'supabase_realtime' and schemaname = current_schema() and tablename = part.name) then
      execute format('alter publication supabase_realtime add table %I', part.name);
    end if;
  end loop;
end $$;

drop policy if exists customers_read_their_own on tickets;
drop policy if exists customers_read_their_own on events;
drop policy if exists customers_read_their_own on messages;
drop function ticketflow_signed_in_customer();

-- What applied these files is not the only way to apply them (psql and `supabase db push` are others), and over REST nobody reads
-- tables of ours. So the schema itself says how far it is; each migration after this one states the function anew, and at its
-- end, for a file that was cut in the middle must not count.
-- {} -> {version, reads: [functions that change nothing and may be called again]}
create function ticketflow_schema(args jsonb) returns jsonb language sql stable as $$
  select jsonb_build_object('version', 15, 'reads', (
    select coalesce(jsonb_agg(p.proname order by p.proname), '[]')
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = current_schema() and p.proname like 'ticketflow\_%' and p.provolatile <> 'v'));
$$;

select ticketflow_secure();

-- PostgREST knows functions from its cache; elsewhere nobody listens.
notify pgrst, 'reload schema';
