-- Tokens that Ticketflow issued: what each is good for, and whether it still is. The token itself is not kept.

create table tokens (
  id uuid primary key,
  subject text not null,
  role text not null,
  scope text not null,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  issued_by text not null,
  revoked_at timestamptz,
  revoked_by text,
  check ((revoked_at is null) = (revoked_by is null))
);
create index tokens_revoked on tokens (expires_at) where revoked_at is not null;
create index tokens_newest on tokens (issued_at desc, id desc);

alter table tokens enable row level security;

-- {id, subject, role, scope, issued_at, expires_at, issued_by} -> true
create function ticketflow_token_record(args jsonb) returns jsonb language plpgsql as $$
begin
  insert into tokens (id, subject, role, scope, issued_at, expires_at, issued_by)
  select id, subject, role, scope, issued_at, expires_at, issued_by from jsonb_populate_record(null::tokens, args);
  return to_jsonb(true);
end $$;

-- {limit} -> [token, ...], newest first
create function ticketflow_tokens(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.issued_at desc, t.id desc), '[]') from (
    select * from tokens order by issued_at desc, id desc limit (args->>'limit')::integer) t;
$$;

-- {id, by} -> the token as it is now, null for an unknown one; revoked again, it keeps who did it first
create function ticketflow_token_revoke(args jsonb) returns jsonb language plpgsql as $$
declare
  revoked jsonb;
begin
  update tokens t
  set revoked_at = coalesce(revoked_at, now()), revoked_by = coalesce(revoked_by, args->>'by')
  where id = (args->>'id')::uuid returning to_jsonb(t) into revoked;
  return revoked;
end $$;

-- {expired_after} -> ids of revoked tokens that expire after that time, when nothing else would refuse them yet
create function ticketflow_tokens_revoked(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(id), '[]') from tokens
  where revoked_at is not null and expires_at > (args->>'expired_after')::timestamptz;
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
