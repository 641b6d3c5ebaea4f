create or replace function chimeway.refuse_by_policy(
  p_delivery_ids uuid[],
  p_channels text[],
  p_now timestamptz
)
returns table (delivery_id uuid, reason text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- Most systems have neither: then this costs two probes a batch and nothing a delivery.
  if not exists (select from chimeway.suppressions)
      and not exists (
        select from chimeway.channels as c where c.name = any (p_channels) and not c.enabled) then
    return;
  end if;

  return query
  select d.id, coalesce(
      case when not c.enabled then 'channel_disabled' end,
      (select s.reason from chimeway.suppressions as s
        where s.recipient = d.recipient
          and (s.channel is null or s.channel = d.channel)
          and (s.tenant_id is null or s.tenant_id = d.tenant_id)
          and (s.expires_at is null or s.expires_at > p_now)
        limit 1)) as reason
  from chimeway.deliveries as d
  join chimeway.channels as c on c.name = d.channel
  where d.id = any (p_delivery_ids)
    and (not c.enabled or exists (
      select from chimeway.suppressions as s
      where s.recipient = d.recipient
        and (s.channel is null or s.channel = d.channel)
        and (s.tenant_id is null or s.tenant_id = d.tenant_id)
        and (s.expires_at is null or s.expires_at > p_now)));
end
$$;

comment on function chimeway.refuse_by_policy(uuid[], text[], timestamptz) is
  'Those of the deliveries to which nothing may be sent, and why: their channel is disabled or '
  'their recipient is in chimeway.suppressions. Reads only columns that never change.';

revoke all on function chimeway.refuse_by_policy(uuid[], text[], timestamptz) from public;
