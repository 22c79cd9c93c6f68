//! The settings that `deploy/` gives to nodes on servers are settings.

use std::path::Path;

use engine::settings::Settings;

/// What `.ci/deploy` cannot ask of a binary that was built without the feature.
#[test]
fn the_settings_of_deploy_name_servers() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let read = |file: &str| std::fs::read_to_string(deploy.join(file)).expect("a file");
    let manifest = read("kubernetes/cluster/10-configmap.yaml");
    let (_, block) = manifest.split_once("volley.toml: |\n").expect("a block");
    let of_manifest: String = block
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let cases = [
        ("sandbox", read("compose/cluster.toml")),
        ("main", of_manifest),
    ];
    for (provider, text) in cases {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{provider}.toml"));
        std::fs::write(&file, text).expect("a file can be written");
        // As the secret has it.
        let name = provider.to_uppercase();
        let token = (
            format!("VOLLEY_PROVIDERS__{name}__AUTH_TOKEN"),
            "0123456789abcdef0123456789abcdef".to_owned(),
        );
        let settings = Settings::load(Some(&file), [token]).expect("settings");
        assert!(settings.is_on_servers(), "{provider}");
        assert_eq!(settings.providers.len(), 1, "{provider}");
    }
}
