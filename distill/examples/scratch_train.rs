#![allow(missing_docs, clippy::unwrap_used, warnings)]
use bie::encode::{Encoder, Token};
use distill::dataset::{self, Item};
use distill::export::*;
use distill::recipe::Recipe;
use distill::session::{Feed, Session};
use distill::student::encoder::*;
use distill::student::heads::RelationHead;
use distill::student::parameters::Parameters;
use distill::train::batch::assemble;
use distill::train::step::{Step, StepSpec};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

struct Rng(u64);
impl Rng { fn next(&mut self) -> u64 { self.0 ^= self.0 << 13; self.0 ^= self.0 >> 7; self.0 ^= self.0 << 17; self.0 } fn unit(&mut self) -> f32 { (self.next() >> 40) as f32 / 16_777_216.0 } 
  fn normal(&mut self) -> f32 { let (a, b) = (self.unit().max(1e-7), self.unit()); (-2.0 * a.ln()).sqrt() * (6.2831853 * b).cos() } }

fn adam(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], lr: f32, wd: f32, t: i32, k: f32) {
    let (c1, c2) = (1.0 - 0.9f32.powi(t), 1.0 - 0.999f32.powi(t));
    for i in 0..p.len() {
        let gi = g[i] * k;
        m[i] = 0.9 * m[i] + 0.1 * gi;
        v[i] = 0.999 * v[i] + 0.001 * gi * gi;
        p[i] -= lr * (m[i] / c1 / ((v[i] / c2).sqrt() + 1e-8) + wd * p[i]);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let recipe = Recipe::read(Path::new(&args[1])).unwrap();
    let dev = Recipe::read(Path::new(&args[2])).unwrap();
    let out = &args[3];
    let base = recipe.resolve(&recipe.student.base);
    let enc = Encoder::from_bytes(&std::fs::read(base.join("tokenizer.json")).unwrap()).unwrap();
    let train = dataset::load(&recipe, &enc).unwrap();
    let devset = dataset::load(&dev, &enc).unwrap();
    println!("{}\n{}", train.summary, devset.summary);
    let (config, mut p) = Parameters::from_folder(&base).unwrap();
    let types = recipe.schema.entities.len();
    let labels = recipe.schema.relations.len() + 1;
    let head = RelationHead { hidden: config.hidden_size, heads: config.heads, labels, block: recipe.student.relation_block };
    let mut rng = Rng(88172645463325252 + recipe.seed);
    p.add_heads(types, Some(head), || rng.normal(), config.hidden_size);
    let tr = &recipe.training;
    let b = tr.batch_documents;
    let spec = StepSpec { encoder: config.clone(), types, relations: Some(head), batch: b, dropout: recipe.student.dropout, temperature: recipe.distillation.temperature };
    let mut step = Step::new(spec, tr.threads).unwrap();
    let mut state: HashMap<String, (Vec<f32>, Vec<f32>, Vec<i32>)> = p.0.iter().map(|(n, x)| (n.clone(), (vec![0.0; x.data.len()], vec![0.0; x.data.len()], vec![0; 1]))).collect();
    let per_epoch = train.items.len().div_ceil(b);
    let total = per_epoch * tr.epochs as usize;
    let warm = (tr.warmup * total as f32).max(1.0);
    let mut n = 0usize;
    let start = Instant::now();
    let mut tokens = 0;
    for epoch in 0..tr.epochs {
        let mut sums = [0f32; 3];
        let batches = dataset::epoch_batches(&train.items, b, recipe.seed, epoch as u64);
        for chunk in &batches {
            let items: Vec<&Item> = chunk.iter().map(|&i| &train.items[i]).collect();
            let batch = assemble(&items, b, types, labels, tr, &recipe.distillation);
            let count = step.masks() * batch.length * b * config.hidden_size;
            let keep = 230.0 / 256.0;
            let mut masks = Vec::with_capacity(count + 8);
            while masks.len() < count { for byte in rng.next().to_le_bytes() { masks.push(if byte < 230 { 1.0 / keep } else { 0.0 }); } }
            masks.truncate(count);
            let g = step.run(&p, &batch, &masks).unwrap();
            tokens += batch.tokens;
            sums[0] += g.losses.entities; sums[1] += g.losses.gold; sums[2] += g.losses.teacher;
            n += 1;
            let sched = if (n as f32) < warm { n as f32 / warm } else { (total - n) as f32 / (total as f32 - warm) };
            // sparse words
            let d = config.hidden_size;
            let mut rows: BTreeMap<i64, Vec<f32>> = BTreeMap::new();
            for (row, id) in g.words().unwrap().chunks(d).zip(&batch.ids) { let e = rows.entry(*id).or_insert_with(|| vec![0.0; d]); e.iter_mut().zip(row).for_each(|(a, b)| *a += b); }
            let mut sq = 0f64;
            for r in rows.values() { sq += r.iter().map(|x| (x * x) as f64).sum::<f64>(); }
            let names: Vec<String> = p.0.keys().cloned().collect();
            for name in &names { if name != WORDS && name != POSITIONS { sq += g.dense(name).unwrap().iter().map(|x| (x * x) as f64).sum::<f64>(); } }
            let k = (tr.clip as f64 / sq.sqrt().max(1e-12)).min(1.0) as f32;
            for name in &names {
                let lr = sched * if name.starts_with("heads") { tr.head_rate } else { tr.encoder_rate };
                let wd = if name.ends_with("bias") || name.contains("LayerNorm") { 0.0 } else { tr.weight_decay };
                let x = p.0.get_mut(name).unwrap();
                let (m, v, _) = state.get_mut(name).unwrap();
                if name == WORDS {
                    for (id, row) in &rows { let r = *id as usize * d..(*id as usize + 1) * d; adam(&mut x.data[r.clone()], &mut m[r.clone()], &mut v[r], row, lr, wd, n as i32, k); }
                } else if name == POSITIONS {
                    let gr = g.positions().unwrap(); let r = 0..gr.len(); adam(&mut x.data[r.clone()], &mut m[r.clone()], &mut v[r], gr, lr, wd, n as i32, k);
                } else { adam(&mut x.data, m, v, g.dense(name).unwrap(), lr, wd, n as i32, k); }
            }
        }
        let m = batches.len() as f32;
        print!("epoch {epoch} loss {:.4} {:.4} {:.4} {:.0} tok/s {:.0}s ", sums[0] / m, sums[1] / m, sums[2] / m, tokens as f64 / start.elapsed().as_secs_f64(), start.elapsed().as_secs_f64());
        if epoch + 1 == tr.epochs || (epoch % 3 == 2) { eval(&config, types, head, &p, &devset.items, Precision::Float); } else { println!(); }
    }
    eval(&config, types, head, &p, &devset.items, Precision::Int8);
    std::fs::create_dir_all(out).unwrap();
    let views: Vec<_> = p.0.iter().map(|(n, x)| (n.clone(), safetensors::tensor::TensorView::new(safetensors::Dtype::F32, x.shape.clone(), bytes(&x.data).leak()).unwrap())).collect();
    std::fs::write(format!("{out}/p.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}
fn bytes(x: &[f32]) -> Vec<u8> { x.iter().flat_map(|x| x.to_le_bytes()).collect() }

fn eval(config: &Config, types: usize, head: RelationHead, p: &Parameters, items: &[Item], precision: Precision) {
    let mut es = Session::new(&encoder_graph(config, types, p, precision).to_onnx("e"), 2).unwrap();
    let mut rs = Session::new(&relations_graph(head, p).to_onnx("r"), 2).unwrap();
    let (mut tp, mut fp, mut fnn) = (vec![0; types], vec![0; types], vec![0; types]);
    let mut scored: Vec<(f32, bool)> = vec![];
    for it in items {
        let l = it.ids.len();
        let o = es.run_to_arrays(&[("input_ids", Feed::I64(&[l], &it.ids))], &["entity_logits", "hidden", "attention"]).unwrap();
        let toks: Vec<Token> = (1..l - 1).map(|i| Token { id: it.ids[i] as u32, start: i, end: i + 1, word: true }).collect();
        let spans = bie::decode::spans::spans(&o[0].data[types * 3..(l - 1) * types * 3], &toks, types);
        for k in 0..types {
            let pred: std::collections::BTreeSet<(usize, usize)> = spans.iter().filter(|s| s.label == k).map(|s| (s.first + 1, s.last + 1)).collect();
            let mut gold = std::collections::BTreeSet::new();
            let mut i = 1;
            while i < l - 1 { if it.tags[i * types + k] == 1 { let mut j = i; while j + 1 < l - 1 && it.tags[(j + 1) * types + k] == 2 { j += 1; } gold.insert((i, j)); i = j; } i += 1; }
            let c = pred.intersection(&gold).count();
            tp[k] += c; fp[k] += pred.len() - c; fnn[k] += gold.len() - c;
        }
        if it.pairs.is_empty() { continue; }
        let (m, n, q) = (it.mentions.len(), it.entities.len(), it.pairs.len());
        let mut mt = vec![0.0; m * l]; for (i, t) in it.mentions.iter().enumerate() { for &x in t { mt[i * l + x] = 1.0 / t.len() as f32; } }
        let mut em = vec![0.0; n * m]; for (i, t) in it.entities.iter().enumerate() { for &x in t { em[i * m + x] = 1.0; } }
        let h: Vec<i64> = it.pairs.iter().map(|x| x.head as i64).collect();
        let t: Vec<i64> = it.pairs.iter().map(|x| x.tail as i64).collect();
        let r = rs.run_to_arrays(&[("hidden", Feed::F32(&o[1].shape, &o[1].data)), ("attention", Feed::F32(&o[2].shape, &o[2].data)), ("mention_tokens", Feed::F32(&[m, l], &mt)), ("entity_mentions", Feed::F32(&[n, m], &em)), ("pair_head", Feed::I64(&[q], &h)), ("pair_tail", Feed::I64(&[q], &t))], &["relation_logits"]).unwrap();
        for (i, pair) in it.pairs.iter().enumerate() {
            let Some(g) = &pair.gold else { continue };
            let z = &r[0].data[i * head.labels..(i + 1) * head.labels];
            let z = &z[..4.min(z.len())];
            let mx = z.iter().fold(f32::MIN, |a, &b| a.max(b)); let s: f32 = z.iter().map(|x| (x - mx).exp()).sum();
            scored.push(((z[1] - mx).exp() / s, g[1] == 1.0));
        }
    }
    let f = |a: usize, b: usize, c: usize| 2.0 * a as f64 / (2 * a + b + c).max(1) as f64;
    let gold: usize = 1012;
    let at = |th: f32| { let a = scored.iter().filter(|x| x.0 >= th && x.1).count(); let b = scored.iter().filter(|x| x.0 >= th && !x.1).count(); f(a, b, gold - a) };
    println!("{} NER {:.4} ({:?}) causes F1 @.3 {:.4} @.4 {:.4} @.5 {:.4} @.6 {:.4} @.7 {:.4} [{} pos of {}]", precision.as_str(), f(tp.iter().sum(), fp.iter().sum(), fnn.iter().sum()), (0..types).map(|k| (f(tp[k], fp[k], fnn[k]) * 1e4).round() / 1e4).collect::<Vec<_>>(), at(0.3), at(0.4), at(0.5), at(0.6), at(0.7), scored.iter().filter(|x| x.1).count(), scored.len());
}
