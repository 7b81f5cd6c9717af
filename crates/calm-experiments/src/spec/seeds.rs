//! Seeds of repeated runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// More runs are a slip of the pen.
const MOST: u64 = 1000;

/// Different numbers, written as `0..2`, both ends included, or `0,1,7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(Vec<u64>);

impl Seeds {
    /// The numbers, in the order in which they are given.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.trim().parse::<u64>();
            number.map_err(|_| format!("'{text}' is no seed; give some as 0..2 or 0,1,7"))
        };
        let mut seeds = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                None => seeds.push(number(part)?),
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
                    if last < first || last - first >= MOST {
                        return Err(format!("'{part}' is not from a seed to a larger one"));
                    }
                    seeds.extend(first..=last);
                }
            }
        }
        let mut sorted = seeds.clone();
        sorted.sort_unstable();
        sorted.dedup();
        match sorted.len() == seeds.len() {
            true => Ok(Self(seeds)),
            false => Err("a seed is given twice".to_owned()),
        }
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<String> = self.0.iter().map(u64::to_string).collect();
        formatter.write_str(&seeds.join(","))
    }
}

impl Serialize for Seeds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One number is as good as a text.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "seeds as \"0..2\", \"0,1,7\", or one number")]
pub(super) enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(seed) => Ok(Self(vec![seed])),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_and_lists() {
        let read = |text: &str| text.parse::<Seeds>().map(|Seeds(seeds)| seeds);
        assert_eq!(read("0..2"), Ok(vec![0, 1, 2]));
        assert_eq!(read("0..=2"), Ok(vec![0, 1, 2]));
        assert_eq!(read("5"), Ok(vec![5]));
        assert_eq!(read("7,0, 3..4"), Ok(vec![7, 0, 3, 4]));
        for wrong in ["", "2..0", "1,1", "0..9999999", "-1", "a..b", "1..", ".."] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_may_give_one_as_a_number() {
        let read = |json: &str| serde_json::from_str::<Seeds>(json).map(|Seeds(seeds)| seeds);
        assert_eq!(read("3").unwrap(), [3]);
        assert_eq!(read("\"0..1\"").unwrap(), [0, 1]);
        assert!(read("[0]").is_err() && read("1.5").is_err());
    }
}
