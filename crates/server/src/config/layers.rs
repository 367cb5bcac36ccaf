//! The three layers side by side: which of them a setting comes from, and all settings printed with that.
//!
//! Reading what is printed gives the same settings again, but for secrets, which are blanked out.

use super::raw::{flag_of, variable_of};
use super::{Config, ConfigError, RawConfig};
use std::fmt;

/// Everything that was said about the settings, highest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The command line's.
    pub flags: RawConfig,
    /// The environment's.
    pub environment: RawConfig,
    /// The TOML file's.
    pub file: RawConfig,
}

/// Where a setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The TOML file.
    File,
    /// Nobody said anything.
    Default,
}

/// A source together with the name of the setting that comes from it.
struct Told(Source, &'static str);

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Flag => write!(formatter, "flag {}", flag_of(self.1)),
            Source::Environment => write!(formatter, "environment {}", variable_of(self.1)),
            Source::File => formatter.write_str("file"),
            Source::Default => formatter.write_str("default"),
        }
    }
}

impl Layers {
    /// The settings that are in force.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let Self { flags, environment, file } = self.clone();
        Config::from_raw(flags.or(environment).or(file))
    }

    /// Which layer a setting's value comes from.
    pub fn source_of(&self, name: &str) -> Source {
        let layers = [
            (&self.flags, Source::Flag),
            (&self.environment, Source::Environment),
            (&self.file, Source::File),
        ];
        let giving = layers.into_iter().find(|(layer, _)| layer.gives(name));
        giving.map_or(Source::Default, |(_, source)| source)
    }

    /// What `darkslide serve --print-config` prints: a TOML file with every setting, each with where its value comes from.
    /// Those without a value are comments.
    pub fn print(&self) -> Result<String, ConfigError> {
        let settings = self.config()?.to_raw().to_table().expect("every setting is a TOML value");
        let line = |name: &&'static str| match settings.get(*name) {
            Some(value) => format!("{name} = {value} # {}\n", Told(self.source_of(name), name)),
            None => format!("# {name} is not set\n"),
        };
        Ok(RawConfig::NAMES.iter().map(line).collect())
    }
}
