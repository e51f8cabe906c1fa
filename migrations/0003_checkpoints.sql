-- The rest of the LangGraph checkpointer: reading, listing, pending writes, pruning.

-- {thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, writes: [{idx, channel, value, replace}]}
create function ticketflow_checkpoint_writes(args jsonb) returns jsonb language sql as $$
  insert into checkpoint_writes as w
    (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
  select args->>'thread_id', args->>'checkpoint_ns', args->>'checkpoint_id', args->>'task_id',
         (value->>'idx')::integer, args->>'task_path', value->>'channel', value->'value'
  from jsonb_array_elements(args->'writes')
  on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) do update
    set channel = excluded.channel, value = excluded.value, task_path = excluded.task_path
    where excluded.idx < 0;
  select 'true'::jsonb;
$$;

create function ticketflow_checkpoint_put(args jsonb) returns jsonb language sql as $$
  select ticketflow_put_checkpoint(args);
  select 'true'::jsonb;
$$;

create function ticketflow_checkpoint_full(c checkpoints) returns jsonb language sql stable as $$
  select jsonb_build_object('thread_id', $1.thread_id, 'checkpoint_ns', $1.checkpoint_ns,
    'checkpoint_id', $1.checkpoint_id, 'parent_id', $1.parent_id, 'checkpoint', $1.checkpoint,
    'metadata', $1.metadata, 'channels',
    ticketflow_checkpoint_channels($1.thread_id, $1.checkpoint_ns, $1.checkpoint->'channel_versions'),
    'writes', (select coalesce(jsonb_agg(jsonb_build_object('task_id', w.task_id, 'channel', w.channel,
                 'value', w.value) order by w.task_path, w.task_id, w.idx), '[]')
               from checkpoint_writes w where w.thread_id = $1.thread_id
                 and w.checkpoint_ns = $1.checkpoint_ns and w.checkpoint_id = $1.checkpoint_id));
$$;

-- {thread_id?, checkpoint_ns?, checkpoint_id?, before?, filter?, limit?} -> [checkpoint, ...], newest first
create function ticketflow_checkpoint_list(args jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(ticketflow_checkpoint_full(found) order by found.checkpoint_id desc), '[]') from (
    select * from checkpoints c
    where (not args ? 'thread_id' or c.thread_id = args->>'thread_id')
      and (not args ? 'checkpoint_ns' or c.checkpoint_ns = args->>'checkpoint_ns')
      and (not args ? 'checkpoint_id' or c.checkpoint_id = args->>'checkpoint_id')
      and (not args ? 'before' or c.checkpoint_id < args->>'before')
      and (not args ? 'filter' or c.metadata @> (args->'filter'))
    order by c.checkpoint_id desc limit (args->>'limit')::integer) found;
$$;

create function ticketflow_checkpoint_delete(args jsonb) returns jsonb language sql as $$
  delete from checkpoint_writes where thread_id in (select jsonb_array_elements_text(args->'thread_ids'));
  delete from checkpoints where thread_id in (select jsonb_array_elements_text(args->'thread_ids'));
  select 'true'::jsonb;
$$;

-- Give these checkpoints all their channel values, so that their ancestors may go.
create function ticketflow_checkpoint_settle(p_threads text[]) returns void language sql as $$
  update checkpoints c
  set channels = ticketflow_checkpoint_channels(c.thread_id, c.checkpoint_ns, c.checkpoint->'channel_versions')
  where c.thread_id = any (p_threads);
$$;

create function ticketflow_checkpoint_prune(args jsonb) returns jsonb language plpgsql as $$
declare
  threads text[] := array(select jsonb_array_elements_text(args->'thread_ids'));
begin
  perform ticketflow_checkpoint_settle(threads);
  delete from checkpoints c where c.thread_id = any (threads) and exists (
    select from checkpoints n where n.thread_id = c.thread_id and n.checkpoint_ns = c.checkpoint_ns
      and n.checkpoint_id > c.checkpoint_id);
  delete from checkpoint_writes w where w.thread_id = any (threads) and not exists (
    select from checkpoints c where c.thread_id = w.thread_id and c.checkpoint_ns = w.checkpoint_ns
      and c.checkpoint_id = w.checkpoint_id);
  return 'true';
end $$;

create function ticketflow_checkpoint_delete_runs(args jsonb) returns jsonb language plpgsql as $$
declare
  runs    text[] := array(select jsonb_array_elements_text(args->'run_ids'));
  threads text[] := array(select distinct thread_id from checkpoints where metadata->>'run_id' = any (runs));
begin
  perform ticketflow_checkpoint_settle(threads);
  delete from checkpoint_writes w using checkpoints c
  where c.metadata->>'run_id' = any (runs) and w.thread_id = c.thread_id and w.checkpoint_ns = c.checkpoint_ns
    and w.checkpoint_id = c.checkpoint_id;
  delete from checkpoints where metadata->>'run_id' = any (runs);
  return 'true';
end $$;

create function ticketflow_checkpoint_copy(args jsonb) returns jsonb language sql as $$
  insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels, created_at)
  select args->>'target', checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, channels, created_at
  from checkpoints where thread_id = args->>'source'
  on conflict do nothing;
  insert into checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
  select args->>'target', checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value
  from checkpoint_writes where thread_id = args->>'source'
  on conflict do nothing;
  select 'true'::jsonb;
$$;
