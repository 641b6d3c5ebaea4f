-- Optional: a login sees and inserts the deliveries of its tenants alone (row-level security).
-- Run once after `chimewayd migrate`, as whoever owns the schema and may create another one.
--
-- Then name each producer's and reader's login: once for each of its tenants, or once with null for
-- all deliveries. A login that is not named sees nothing and inserts nothing.
--   insert into chimeway_tenants.logins (login, tenant_id) values ('app_acme', 'acme'), ('app', null);
begin;

-- A schema of its own: in chimeway, the next migrate would drop what it does not know.
create schema chimeway_tenants;
grant usage on schema chimeway_tenants to chimeway_producer, chimeway_reader;

create table chimeway_tenants.logins (
  login name not null,
  tenant_id text,
  constraint logins_key unique nulls not distinct (login, tenant_id)
);
comment on table chimeway_tenants.logins is
  'Whose deliveries a login may see and insert; tenant_id null: everybody''s.';

-- Runs as its owner: the list is nobody else's to read. A session may change its current_user and
-- every setting, but never its session_user.
create function chimeway_tenants.may_see(p_tenant_id text)
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from chimeway_tenants.logins as l
    where l.login = session_user and (l.tenant_id is null or l.tenant_id = p_tenant_id))
$$;
revoke all on function chimeway_tenants.may_see(text) from public;
grant execute on function chimeway_tenants.may_see(text) to chimeway_producer, chimeway_reader;

create policy own_tenants on chimeway.deliveries
  to chimeway_producer, chimeway_reader
  using (chimeway_tenants.may_see(tenant_id))
  with check (chimeway_tenants.may_see(tenant_id));
create policy everybody on chimeway.deliveries to chimeway_operator using (true);
alter table chimeway.deliveries enable row level security;

-- These tell of every tenant, and a policy does not reach them.
create policy nobodys on chimeway.delivery_attempts to chimeway_operator using (true);
create policy nobodys on chimeway.delivery_events to chimeway_operator using (true);
alter table chimeway.delivery_attempts enable row level security;
alter table chimeway.delivery_events enable row level security;

commit;
