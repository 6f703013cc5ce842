//! Where the validators of a survey stand: regions of Azure, whose latencies are published.

use clap::ValueEnum;
use serde::Serialize;

/// How far the validators are apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// All in one region.
    Region,
    /// In the regions of Europe.
    Continent,
    /// On all continents.
    World,
}

impl Place {
    /// All there are, by distance.
    pub const ALL: [Self; 3] = [Self::Region, Self::Continent, Self::World];

    /// As it is typed, and in names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Continent => "continent",
            Self::World => "world",
        }
    }

    /// As a heading says it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Region => "One region",
            Self::Continent => "One continent",
            Self::World => "Worldwide",
        }
    }

    /// As a sentence says it.
    pub fn within(self) -> &'static str {
        match self {
            Self::Region => "in one region",
            Self::Continent => "on one continent",
            Self::World => "worldwide",
        }
    }

    /// Its regions, in the order in which members take them; a member more begins again at the first. Every
    /// latency between two of them is published, and the first four of the world are on four continents.
    pub fn regions(self) -> &'static [&'static str] {
        match self {
            Self::Region => &["West Europe"],
            Self::Continent => &[
                "West Europe",
                "North Europe",
                "Germany West Central",
                "France Central",
                "UK South",
                "Sweden Central",
                "Switzerland North",
                "Italy North",
                "Norway East",
                "Poland Central",
                "France South",
                "Germany North",
                "Norway West",
                "Switzerland West",
                "UK West",
            ],
            Self::World => &[
                "West Europe",
                "East US",
                "Southeast Asia",
                "Brazil South",
                "Australia East",
                "South Africa North",
                "Japan East",
                "West US 2",
                "Central India",
                "North Europe",
                "UAE North",
                "Canada Central",
                "Korea Central",
                "New Zealand North",
                "Mexico Central",
                "South Africa West",
            ],
        }
    }
}
