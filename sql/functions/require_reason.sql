create or replace function chimeway.require_reason(p_verb text, p_reason text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(btrim(p_reason), '') = '' or octet_length(p_reason) > 1000 then
    raise exception 'chimeway.%: reason must say why, in 1 to 1000 bytes', p_verb
      using errcode = 'NC003';
  end if;
end
$$;

comment on function chimeway.require_reason(text, text) is
  'Refuses an operator''s call that does not say why (NC003).';

revoke all on function chimeway.require_reason(text, text) from public;
