use super::*;
use serde_json::json;

fn state(step: u64) -> State {
    State {
        step,
        epoch: 1,
        batch: 3,
        random: 0,
        recipe: json!({"seed": 1, "training": {"epochs": 2}}),
        extra: json!({"losses": [0.5, 0.25]}),
    }
}

fn tensors(first: f32) -> BTreeMap<String, Tensor<'static>> {
    let values = vec![first, -0.0, f32::MIN_POSITIVE, 3.25e38f32, 1.0, 2.0];
    BTreeMap::from([
        (
            "w".to_owned(),
            Tensor {
                shape: vec![2, 3],
                numbers: Numbers::F32(values.into()),
            },
        ),
        (
            "steps.w".to_owned(),
            Tensor {
                shape: vec![2],
                numbers: Numbers::U32(vec![7, u32::MAX].into()),
            },
        ),
    ])
}

#[test]
fn what_was_saved_comes_back_and_two_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Folder::open(folder.path()).unwrap();
    assert_eq!(checkpoints.load(&state(0).recipe).unwrap(), None);
    for step in [5, 10, 1_000_000_000, 20] {
        checkpoints
            .save(&state(step), &tensors(step as f32))
            .unwrap();
    }
    let mut found = checkpoints.load(&state(0).recipe).unwrap().unwrap();
    assert_eq!(found.state, state(1_000_000_000));
    assert_eq!(found.tensors, tensors(1e9));
    assert_eq!(found.floats("w", 6).unwrap()[5], 2.0);
    assert!(found.floats("w", 6).is_err(), "taken out");
    assert!(found.counts("steps.w", 3).is_err());
    assert_eq!(checkpoints.list().unwrap().len(), 2);
}

#[test]
fn a_damaged_newest_is_passed_over_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Folder::open(folder.path()).unwrap();
    checkpoints.save(&state(1), &tensors(1.0)).unwrap();
    let newest = checkpoints.save(&state(2), &tensors(2.0)).unwrap();
    let whole = fs::read(&newest).unwrap();
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&newest, &whole[..cut]).unwrap();
        let found = checkpoints.load(&state(0).recipe).unwrap().unwrap();
        assert_eq!(
            (found.state.step, found.warnings.len()),
            (1, 1),
            "cut at {cut}"
        );
        assert!(
            found.warnings[0].contains("step-000000002.checkpoint: the checkpoint is truncated"),
            "{:?}",
            found.warnings
        );
    }
    for at in (0..whole.len()).step_by(7) {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        fs::write(&newest, &altered).unwrap();
        assert_eq!(
            checkpoints
                .load(&state(0).recipe)
                .unwrap()
                .unwrap()
                .state
                .step,
            1,
            "altered at {at}"
        );
    }
    fs::write(folder.path().join("step-000000001.checkpoint"), b"").unwrap();
    assert!(
        checkpoints
            .load(&state(0).recipe)
            .unwrap_err()
            .to_string()
            .contains("no checkpoint is whole")
    );
}

#[test]
fn another_recipe_is_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Folder::open(folder.path()).unwrap();
    checkpoints.save(&state(1), &tensors(1.0)).unwrap();
    let error = checkpoints
        .load(&json!({"seed": 1, "training": {"epochs": 3}}))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("step-000000001.checkpoint")
            && error.contains("training.epochs: 2 there, 3 here"),
        "{error}"
    );
}

#[test]
fn a_second_trainer_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = Folder::open(folder.path()).unwrap();
    assert!(
        Folder::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("another distill is training")
    );
    drop(first);
    Folder::open(folder.path()).unwrap();
}

#[test]
fn leftovers_of_a_killed_run_are_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".tmpXYZ"), b"half").unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    let checkpoints = Folder::open(folder.path()).unwrap();
    assert!(!folder.path().join(".tmpXYZ").exists() && folder.path().join("notes.txt").exists());
    assert_eq!(checkpoints.list().unwrap(), Vec::<PathBuf>::new());
}
