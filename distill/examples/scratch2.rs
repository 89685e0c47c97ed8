#![allow(missing_docs, clippy::unwrap_used)]
use distill::export::*;
use distill::session::{Feed, Session};
use distill::student::parameters::Parameters;
fn main() {
    let (c, mut p) =
        Parameters::from_folder(std::path::Path::new("../shared/base/minilm-l6")).unwrap();
    let mut s = 1u64;
    let mut normal = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 40) as f32 / 8_388_608.0 - 1.0
    };
    p.add_heads(2, None, &mut normal, 384);
    let n = 128;
    let ids: Vec<i64> = (0..n).map(|i| 1000 + (i * 7919) % 20000).collect();
    let mut outs = vec![];
    for pr in [Precision::Float, Precision::Int8] {
        let bytes = encoder_graph(&c, 2, &p, pr).to_onnx("encoder");
        std::fs::write(format!("/tmp/encoder.{}.onnx", pr.as_str()), &bytes).unwrap();
        let mut s = Session::new(&bytes, 1).unwrap();
        let sh = [n as usize];
        let f = [("input_ids", Feed::I64(&sh, &ids))];
        outs.push(s.run_to_arrays(&f, &["hidden"]).unwrap().remove(0));
        for _ in 0..10 {
            s.run(&f).unwrap();
        }
        let mut ts: Vec<f64> = (0..60)
            .map(|_| {
                let t = std::time::Instant::now();
                s.run(&f).unwrap();
                t.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        ts.sort_by(f64::total_cmp);
        println!(
            "{} {} bytes: median {:.2} ms min {:.2}",
            pr.as_str(),
            bytes.len(),
            ts[30],
            ts[0]
        );
    }
    let (mut dot, mut a2, mut b2, mut worst) = (0f64, 0f64, 0f64, 0f32);
    for (a, b) in outs[0].data.iter().zip(&outs[1].data) {
        dot += (a * b) as f64;
        a2 += (a * a) as f64;
        b2 += (b * b) as f64;
        worst = worst.max((a - b).abs());
    }
    println!("cosine {} worst {}", dot / (a2 * b2).sqrt(), worst);
}
