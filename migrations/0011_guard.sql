-- The database's own guard, whatever its callers believe: what was written about a ticket stays as it was written, each role
-- has what it needs and no more, and a signed-in customer reads what is theirs.

-- What is final ----------------------------------------------------------------------------------------------------

-- Events and messages go with their ticket or stay. The setting alone opens nothing: a role that is not the owner has no way
-- to delete one except through ticketflow_forget, which runs as the owner.
create or replace function ticketflow_refuse_event_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('ticketflow.pruning', true) = 'on'
     and current_user = (select pg_get_userbyid(relowner) from pg_class where oid = tg_relid)
     and not exists (select from tickets where id = old.ticket_id) then
    return old;
  end if;
  raise exception '% are never updated, and deleted only with their ticket by ticketflow_prune', tg_table_name
    using errcode = 'restrict_violation';
end $$;

create trigger events_are_not_truncated before truncate on events
  for each statement execute function ticketflow_refuse_event_change();
create trigger messages_are_final before update or delete on messages
  for each row execute function ticketflow_refuse_event_change();
create trigger messages_are_not_truncated before truncate on messages
  for each statement execute function ticketflow_refuse_event_change();

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

-- Names in these two mean our tables, also where the caller has put others in front. Unnamed, pg_temp would come first.
do $$
begin
  execute format('alter function ticketflow_forget(uuid[], timestamptz) set search_path = pg_catalog, %I, pg_temp',
                 current_schema());
  execute format('alter function ticketflow_refuse_event_change() set search_path = pg_catalog, %I, pg_temp',
                 current_schema());
end $$;

-- Who may do what --------------------------------------------------------------------------------------------------

-- Every table of ours: beside them in the schema may stand somebody else's.
create function ticketflow_tables() returns text[] language sql immutable as $$
  select array['tickets', 'events', 'messages', 'leases', 'outbox', 'timers', 'intake_keys', 'wake_ups', 'dead_letters',
               'checkpoints', 'checkpoint_writes', 'articles', 'passages', 'queue_messages', 'queue_consumers', 'tokens',
               'schema_migrations'];
$$;

-- What service_role may do with one of them. It calls functions that run with its own rights.
create function ticketflow_service_rights(p_table text) returns text language sql immutable as $$
  select case
    when p_table = 'schema_migrations' then 'select'
    when p_table in ('events', 'messages') then 'select, insert'
    when p_table = 'tickets' then 'select, insert, update'
    else 'select, insert, update, delete' end;
$$;

-- Rights as they should be, for everyone but the owner. Supabase grants everything on whatever is new to its three roles;
-- where they do not exist, there is nobody to grant anything to. ticketflow migrate calls it each time, as they may come later.
create function ticketflow_secure() returns void language plpgsql as $$
declare
  others  constant text := (
    select string_agg(name, ', ') from unnest(array['public', 'anon', 'authenticated', 'service_role']) name
    where name = 'public' or to_regrole(name) is not null);
  service constant boolean := to_regrole('service_role') is not null;
  ours    record;
begin
  for ours in
    select c.oid::regclass as name, c.oid, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = current_schema() and c.relname = any (ticketflow_tables())
  loop
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

-- Signed-in customers ----------------------------------------------------------------------------------------------

-- The customer whom the claims of this request name, or null. Whatever the claims are, nothing is raised: a policy asks.
create function ticketflow_signed_in_customer() returns text language plpgsql stable set search_path = '' as $$
declare
  claims jsonb;
  named  jsonb;
begin
  claims := current_setting('request.jwt.claims', true);
  foreach named in array array[claims->'app_metadata'->'customer_id', claims->'sub'] loop
    if jsonb_typeof(named) = 'string' and named <> '""' then
      return named #>> '{}';
    end if;
  end loop;
  return null;
exception when others then
  return null;
end $$;

-- Columns and rows that a portal shows, and changes of the same as Supabase's Realtime sends them.
create function ticketflow_admit_customers() returns void language plpgsql as $$
declare
  part record;
begin
  grant execute on function ticketflow_signed_in_customer() to authenticated;
  for part in
    select * from (values
      ('tickets', 'id, customer_id, customer_email, subject, body, channel, status, lifecycle, category, priority, version,
                   created_at, updated_at, completed_at',
       'customer_id = (select ticketflow_signed_in_customer())'),
      ('events', 'id, ticket_id, seq, event_type, created_at',
       'exists (select from tickets t where t.id = ticket_id and t.customer_id = (select ticketflow_signed_in_customer()))
        and (event_type in (''created'', ''lifecycle'', ''cancelled'')
             or event_type = ''message'' and payload->>''kind'' = ''reply'')'),
      ('messages', 'id, ticket_id, seq, kind, author_role, body, created_at',
       'exists (select from tickets t where t.id = ticket_id and t.customer_id = (select ticketflow_signed_in_customer()))
        and kind = ''reply''')) shown (name, columns, rows_)
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

select ticketflow_secure();
