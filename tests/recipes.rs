//! Training recipes from the command line: what they come to, and which layer of settings wins.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const RECIPES: [&str; 4] = ["cifar-nasnet", "imagenet-mobile", "imagenet-large", "search-child"];

fn cellc(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    command.arg("train").args(args).current_dir(folder).env("NO_COLOR", "1");
    command.env_remove("COLUMNS").output().unwrap()
}

/// Standard output of a run that succeeds.
fn fine(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that is refused.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// The settings that some options come to.
fn printed(folder: &Path, args: &[&str]) -> String {
    fine(folder, &[args, &["--print-config"]].concat())
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "no `{line}` in\n{text}");
    }
}

#[test]
fn recipes_print_their_settings() {
    let folder = tempfile::tempdir().unwrap();
    for recipe in RECIPES {
        insta::assert_snapshot!(recipe, printed(folder.path(), &["--recipe", recipe]));
    }
    insta::assert_snapshot!("default", printed(folder.path(), &[]));
}

#[test]
fn printed_settings_fed_back_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    for recipe in RECIPES {
        let options = ["--recipe", recipe, "--clip-norm", "0", "--seed", "7", "--batch", "64"];
        let text = printed(folder.path(), &options);
        fs::write(&file, &text).unwrap();
        assert_eq!(printed(folder.path(), &["--config", "run.toml"]), text);
        // Whatever the recipe below it: every setting is there.
        for other in RECIPES {
            let options = ["--recipe", other, "--config", "run.toml"];
            assert_eq!(printed(folder.path(), &options), text, "{recipe} over {other}");
        }
    }
}

#[test]
fn an_option_wins_over_the_file_and_the_file_over_the_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let text = "epochs = 7\nmomentum = 0.5\nweight_decay = 1\n[augment]\ncutout = 8\n";
    fs::write(folder.path().join("mine.toml"), text).unwrap();
    let layers = ["--recipe", "cifar-nasnet", "--config", "mine.toml", "--epochs", "3"];
    let found = printed(folder.path(), &[&layers[..], &["--set", "augment.pad=2"]].concat());
    assert_lines(
        &found,
        &["epochs = 3", "momentum = 0.5", "weight_decay = 1.0", "drop_path = 0.4", "cutout = 8"],
    );
    assert_lines(&found, &["pad = 2", "flip = true", "lr = 0.025"]);
    // Words need no quotes; an option of its own wins over `--set`.
    let options = ["--set", "optimizer=rmsprop", "--set", "epochs=5", "--epochs", "6"];
    let found = printed(folder.path(), &options);
    assert_lines(&found, &["optimizer = \"rmsprop\"", "epochs = 6"]);
    let bare = printed(folder.path(), &["--recipe", "cifar-nasnet", "--no-augment"]);
    assert_lines(&bare, &["flip = false", "cutout = 0", "pad = 0"]);
}

#[test]
fn rates_of_recipes_follow_the_batch_and_rates_of_users_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let large = |options: &[&str]| {
        printed(folder.path(), &[&["--recipe", "imagenet-large"], options].concat())
    };
    // 0.015 a replica of 16 images, by the paper.
    assert_lines(&large(&[]), &["lr = 1.5", "lr_batch = 1600 # with batch = 16: 0.015"]);
    assert_lines(&large(&["--batch", "800"]), &["lr_batch = 1600 # with batch = 800: 0.75"]);
    assert_lines(&large(&["--lr", "0.3"]), &["lr = 0.3", "lr_batch = 0"]);
    fs::write(folder.path().join("lr.toml"), "lr = 0.2\nbatch = 4\n").unwrap();
    assert_lines(&large(&["--config", "lr.toml"]), &["lr = 0.2", "lr_batch = 0"]);

    let net = ["nasnet_a", "--net", "cifar", "--scale", "1@24"];
    let options = [&net[..], &["--limit", "100", "--out", "m.safetensors"]].concat();
    let recipe = ["--recipe", "imagenet-mobile", "--epochs", "1", "--batch", "25"];
    let plain = ["--set", "augment.resized_crop=false", "--aux-weight", "0"];
    let text = fine(folder.path(), &[&options[..], &recipe, &plain].concat());
    let line = "learning rate 0.03125: 2 for batches of 1600, here 25";
    assert_lines(&text, &[line]);
}

#[test]
fn a_recipe_brings_its_net_and_scale_unless_others_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let found = |options: &[&str]| {
        let text = printed(folder.path(), options);
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        [line("net = "), line("scale = ")].join(", ")
    };
    let mobile = ["--recipe", "imagenet-mobile"];
    let with = |options: &[&str]| found(&[&mobile, options].concat());
    assert_eq!(with(&[]), "net = \"imagenet\", scale = \"4@1056\"");
    assert_eq!(with(&["--scale", "1@24"]), "net = \"imagenet\", scale = \"1@24\"");
    // The scale of one net is none of another.
    let of_file = "scale = \"\" # that of the file of cells";
    assert_eq!(with(&["--net", "cifar"]), format!("net = \"cifar\", {of_file}"));
    assert_eq!(with(&["--net", "imagenet"]), "net = \"imagenet\", scale = \"4@1056\"");
    fs::write(folder.path().join("mine.toml"), "scale = \"2@96\"\n").unwrap();
    assert_eq!(with(&["--config", "mine.toml"]), "net = \"imagenet\", scale = \"2@96\"");
    fs::write(folder.path().join("mine.toml"), "scale = \"many\"\n").unwrap();
    let fault = refused(folder.path(), &["nasnet_a", "--config", "mine.toml"]);
    assert!(fault.contains("`mine.toml`: `many` is not a scale"), "{fault}");

    let child = ["nasnet_a", "--recipe", "search-child", "--epochs", "1", "--limit", "20"];
    let more = ["--batch", "9", "--out", "m.safetensors"];
    let text = fine(folder.path(), &[&child[..], &more].concat());
    assert!(text.starts_with("<nasnet_a.cell> in net cifar at 2@768: "), "{text}");
    let path = folder.path().join("m.safetensors");
    let model = cellc::train::Checkpoint::read_metadata(&path).unwrap();
    assert_eq!((&*model.net, &*model.scale), ("cifar", "2@768"));
}

/// What would be without a sense or an effect is said and not done in silence.
#[test]
fn settings_that_do_nothing_or_undo_the_training_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["nasnet_a", "--net", "cifar", "--scale", "1@24", "--limit", "40", "--batch", "20"];
    let fault = |more: &[&str]| refused(folder.path(), &[&base[..], more].concat());
    let none = fault(&["--validation", "0.001"]);
    assert_eq!(none, "error: validation is 0.001: of 40 training images none would be held out\n");
    let cutout = "error: augment.cutout is 99: it would zero the whole of images of 8x8 pixels\n";
    assert_eq!(fault(&["--cutout", "99"]), cutout);
    let warmup = "error: warmup_epochs is 5: of 3 epochs none would have the full rate\n";
    assert_eq!(fault(&["--warmup-epochs", "5", "--epochs", "3"]), warmup);
    let aux = fault(&["--aux-weight", "0.4"]);
    let sentence = "aux_weight is 0.4: net `cifar` has no auxiliary head for images of 8x8 pixels";
    assert!(aux.contains(sentence), "{aux}");

    let idle = ["--optimizer", "adam", "--momentum", "0.5", "--set", "lr_decay=0.5"];
    let more = ["--epochs", "1", "--lr", "0.001", "--out", "m.safetensors"];
    let output = cellc(folder.path(), &[&base[..], &idle, &more].concat());
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_lines(
        &text,
        &[
            "note: lr_decay has no effect with schedule `cosine`",
            "note: momentum has no effect with optimizer `adam`",
        ],
    );
    let other = ["--net", "cifar", "--scale", "1@48", "--init", "m.safetensors"];
    let init = refused(folder.path(), &[&["nasnet_a"], &other[..]].concat());
    assert!(init.contains("of another network, scale 1@24 and not 1@48: "), "{init}");
}

#[test]
fn unknown_settings_are_errors_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |text: &str| {
        fs::write(folder.path().join("mine.toml"), text).unwrap();
        refused(folder.path(), &["nasnet_a", "--config", "mine.toml"])
    };
    assert_eq!(
        fault("epochs = 3\nmomentun = 0.5\n"),
        "error: settings of `mine.toml`: line 2: there is no setting `momentun`; did you mean \
         `momentum`?\n"
    );
    assert_eq!(
        fault("[augment]\nflipp = true\n"),
        "error: settings of `mine.toml`: line 2: there is no setting `augment.flipp`; did you mean \
         `augment.flip`?\n"
    );
    assert!(fault("wombat = 1\n").contains("--print-config"));
    assert!(fault("epochs = \n").contains("line 1"));
    let word = fault("optimizer = \"sdg\"\n");
    assert!(word.contains("sdg") && word.contains("rmsprop"), "{word}");
    assert!(fault("epochs = \"many\"\n").contains("epochs"));
    assert!(fault("drop_path = 1.0\n").contains("drop_path is 1: it must be from 0"));
    let set = |assignment| refused(folder.path(), &["nasnet_a", "--set", assignment]);
    assert!(set("epoch=3").contains("did you mean `epochs`?"));
    assert!(set("epochs").contains("KEY=VALUE"));
    assert!(set("lr.x=1").contains("`lr` has no settings within"));
    let missing = refused(folder.path(), &["nasnet_a", "--config", "none.toml"]);
    assert!(missing.contains("none.toml"));
}

/// A model file says how its batch normalization is to be run: `eval` gives what `train` gave.
#[test]
fn batch_normalization_is_restored_from_the_model_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["nasnet_a", "--scale", "1@24", "--limit", "300", "--out", "m.safetensors"];
    let settings =
        ["--epochs", "3", "--set", "bn_eps=0.5", "--ema-decay", "0.5", "--drop-path", "0.2"];
    let trained = fine(folder.path(), &[&options[..], &settings].concat());
    let evaluated = Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(["eval", "m.safetensors", "--limit", "300"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let evaluated = String::from_utf8(evaluated.stdout).unwrap();
    assert_eq!(trained.lines().last().unwrap(), evaluated.lines().last().unwrap());

    let (checkpoint, network) =
        cellc::train::restore(&folder.path().join("m.safetensors")).unwrap();
    assert_eq!(network.config().bn_eps, 0.5);
    let config = checkpoint.config.expect("it was trained here");
    assert_eq!((config.bn_eps, config.ema_decay), (0.5, 0.5));
}
