create or replace function chimeway.require_actor(p_verb text, p_actor text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(btrim(p_actor), '') = '' or octet_length(p_actor) > 255 then
    raise exception 'chimeway.%: actor must say who asks for it, in 1 to 255 bytes', p_verb
      using errcode = 'NC003';
  end if;
end
$$;

comment on function chimeway.require_actor(text, text) is
  'Refuses an operator''s call that does not say who calls (NC003).';

revoke all on function chimeway.require_actor(text, text) from public;
