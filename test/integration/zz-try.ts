import { testPostgres, silent } from '../helpers/postgres.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { createOutboxRelay } from '../../shared/journal/postgres/outbox.ts'
import { topics } from '../../shared/journal/topics.ts'
import { readFileSync } from 'node:fs'
import { execSync } from 'node:child_process'
const p = await testPostgres(); const d = await p.database()
const log = {...silent, warn: console.log, error: console.log}
const pool = createPool({url:d.url,max:2,name:'x',log})
const j = await createPostgresJournal({url:d.url, log, topics:Object.values(topics)})
await pool.query('create table floor(id int generated always as identity primary key, v text)')
const value = JSON.stringify({a:'x'.repeat(400)})
const bench = async (name:string, callers:number, ms:number, fn:(i:number)=>Promise<unknown>) => {
  const lat:number[]=[]; const until=performance.now()+ms; const t0=performance.now()
  await Promise.all(Array.from({length:callers},async(_,i)=>{while(performance.now()<until){const t=performance.now();await fn(i);lat.push(performance.now()-t)}}))
  const s=(performance.now()-t0)/1000; lat.sort((a,b)=>a-b)
  console.log(name.padEnd(14),callers,'callers',Math.round(lat.length/s),'/s p50',lat[lat.length>>1]!.toFixed(2),'p99',lat[Math.floor(lat.length*.99)]!.toFixed(2))
  return lat.length/s
}
for (let round=0; round<2; round++) {
const floor = await bench('floor 1 conn',1,800,()=>pool.query({name:'f',text:'insert into floor(v) values($1)',values:[value]}))
let n=0
for (const c of [1,16,64]) { const r=await bench('append',c,1000,i=>j.append([{topic:'holdfast.calls',partition:(n++)%12,key:'k',value,headers:{'ce_id':'1'}}])); console.log('ratio',(r/floor).toFixed(2)) }
}
let got=0; let waiters=new Map<string,()=>void>()
const c = await j.consume({group:'g',topics:['holdfast.calls'],handle:async del=>{got+=del.records.length;for(const r of del.records)waiters.get(r.key)?.();await del.commit()}})
await c.joined; 
let t0=performance.now()
while((await j.lag('g','holdfast.calls')).reduce((s,l)=>s+l.lag,0)>0) await new Promise(r=>setTimeout(r,20))
console.log('caught up',got,performance.now()-t0)
let k=0
for (const cc of [1,64]) await bench('append+consume',cc,1500,()=>new Promise<void>(async res=>{const key=String(k++);waiters.set(key,()=>{waiters.delete(key);res()});await j.append([{topic:'holdfast.calls',partition:k%12,key,value,headers:{}}])}))
// outbox relay throughput
await pool.query(`insert into outbox(topic,partition,key,headers,value) select 'holdfast.events', i%12, i::text, '{"a":"b"}', $1 from generate_series(1,20000) i`,[value])
t0=performance.now(); let moved=0,m; while((m=await j.drainOutbox(500))>0) moved+=m; console.log('outbox moved',moved,'in',(performance.now()-t0).toFixed(0),'ms')
const relay=createOutboxRelay({journal:j,log})
relay.start()
await new Promise(r=>setTimeout(r,3000))
const pgCpu=()=>{let s=0;for(const pid of execSync(`pgrep -P ${p.server.pid}`).toString().trim().split('\n')){try{const f=readFileSync(`/proc/${pid}/stat`,'utf8').split(') ')[1]!.split(' ');s+=Number(f[11])+Number(f[12])}catch{}}return s*10}
const c1=pgCpu();let u=process.cpuUsage(); await new Promise(r=>setTimeout(r,5000)); u=process.cpuUsage(u); console.log('idle node cpu %',((u.user+u.system)/1000/5000*100).toFixed(2),'postgres cpu %',((pgCpu()-c1)/5000*100).toFixed(2))
await relay.stop()
t0=performance.now(); await c.stop(); console.log('consumer stop',performance.now()-t0)
await j.close(); await pool.end(); await p.server.stop()
