-- The knowledge base: articles cut into passages, found by full text.

create table articles (
  id         text primary key,
  title      text not null,
  category   text,
  tags       text[] not null default '{}',
  body       text not null,
  updated_at timestamptz not null default clock_timestamp()
);

create table passages (
  article_id text not null references articles (id) on delete cascade,
  n          integer not null,
  heading    text not null,
  body       text not null,
  terms      tsvector not null,
  primary key (article_id, n)
);
create index passages_by_terms on passages using gin (terms);

-- {articles: [{id, title, category, tags, body, passages: [{heading, body}]}]} -> number stored
create function ticketflow_articles_put(args jsonb) returns jsonb language plpgsql as $$
declare
  a jsonb;
begin
  for a in select value from jsonb_array_elements(args->'articles') order by value->>'id' loop
    insert into articles (id, title, category, tags, body)
    values (a->>'id', a->>'title', a->>'category', array(select jsonb_array_elements_text(a->'tags')), a->>'body')
    on conflict (id) do update set title = excluded.title, category = excluded.category, tags = excluded.tags,
      body = excluded.body, updated_at = clock_timestamp();
    delete from passages where article_id = a->>'id';
    insert into passages (article_id, n, heading, body, terms)
    select a->>'id', ordinality, value->>'heading', value->>'body',
      setweight(to_tsvector('english', a->>'title'), 'A') ||
      setweight(to_tsvector('english', array_to_string(array(select jsonb_array_elements_text(a->'tags')), ' ')), 'B') ||
      setweight(to_tsvector('english', value->>'heading'), 'B') ||
      setweight(to_tsvector('english', value->>'body'), 'C')
    from jsonb_array_elements(a->'passages') with ordinality;
  end loop;
  return to_jsonb(jsonb_array_length(args->'articles'));
end $$;

-- {q, limit, passages} -> [{id, title, score, passages: [{heading, text}]}], best first.
-- Any of the words may match: a customer's sentence is not a search expression. A word counts by how rare it is among
-- the passages (inverse document frequency) and by where it stands (title, heading, text). Words are capped because
-- a 20,000 character ticket is a query too.
create function ticketflow_search(args jsonb) returns jsonb language plpgsql stable as $$
declare
  found_ jsonb;
begin
  with words as (
    select lexeme from unnest(to_tsvector('english', left(args->>'q', 4000))) where length(lexeme) between 2 and 40
    order by cardinality(positions) desc, length(lexeme) desc, lexeme limit 48
  ), total as (select greatest(count(*), 1)::float as n from passages),
  hits as (
    select w.lexeme, p.article_id, p.n,
           ts_rank('{0.2, 0.35, 0.7, 1.0}', p.terms, to_tsquery('simple', quote_literal(w.lexeme))) as weight
    from words w join passages p on p.terms @@ to_tsquery('simple', quote_literal(w.lexeme))
  ), rarity as (
    select lexeme, ln(1 + (select n from total) / count(*)) as idf from hits group by lexeme
  ), scored as (
    select h.article_id, h.n, sum(h.weight * r.idf) as score from hits h join rarity r using (lexeme) group by 1, 2
  ), ranked as (
    select article_id, n, score,
           row_number() over (partition by article_id order by score desc, n) as place,
           sum(score) over (partition by article_id) as total_score,
           max(score) over (partition by article_id) as best
    from scored
  )
  select coalesce(jsonb_agg(x.article order by x.score desc, x.id), '[]') into found_ from (
    select a.id, r.best as score, jsonb_build_object('id', a.id, 'title', a.title, 'score', round(r.best::numeric, 4),
      'passages', (select jsonb_agg(jsonb_build_object('heading', p.heading, 'text', p.body) order by s.place)
                   from ranked s join passages p on p.article_id = s.article_id and p.n = s.n
                   where s.article_id = a.id and s.place <= (args->>'passages')::integer)) as article
    from ranked r join articles a on a.id = r.article_id where r.place = 1
    order by r.best desc, a.id limit (args->>'limit')::integer) x;
  return found_;
end $$;

-- {after, limit} -> [article, ...] by id
create function ticketflow_articles(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(a) order by a.id), '[]') from (
    select * from articles where not args ? 'after' or id > args->>'after'
    order by id limit (args->>'limit')::integer) a;
$$;

-- {ids: [...]} -> [ids that no article has]. Where there is one, nothing is deleted.
create function ticketflow_articles_delete(args jsonb) returns jsonb language plpgsql as $$
declare
  ids     constant text[] := array(select jsonb_array_elements_text(args->'ids'));
  unknown text[] := array(select id from unnest(ids) id except select id from articles order by id);
begin
  if unknown = '{}' then
    delete from articles where id = any (ids);
  end if;
  return to_jsonb(unknown);
end $$;
