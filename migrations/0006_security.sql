-- Row-level security on every table: a role that was granted no policy sees nothing. The application connects as the
-- owner of the tables, which row-level security does not bind; nobody else may call the functions.

do $$
declare
  name text;
  f    regprocedure;
begin
  for name in select tablename from pg_tables where schemaname = current_schema() and tablename in (
    'tickets', 'events', 'leases', 'outbox', 'timers', 'intake_keys', 'wake_ups', 'dead_letters', 'checkpoints',
    'checkpoint_writes', 'articles', 'passages', 'queue_messages', 'queue_consumers', 'schema_migrations')
  loop
    execute format('alter table %I enable row level security', name);
  end loop;
  for f in select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = current_schema() and p.proname like 'ticketflow\_%'
  loop
    execute format('revoke execute on function %s from public', f);
  end loop;
end $$;
