//! The command line: clap types and nothing else.

use std::path::PathBuf;

use clap::{Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::spec::ProviderKind;

/// From one TOML spec to a running kubeadm cluster on EC2, and back to nothing.
#[derive(Debug, Parser)]
#[command(name = "kubestrap", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 plan has changes (--detailed-exitcode), 3 diagnose found a fault,
4 credentials missing or expired, 5 locked by another run, 6 partly done (run it again),
64 wrong usage or spec, 130 interrupted";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The spec.
    #[arg(
        short,
        long,
        global = true,
        env = "KUBESTRAP_FILE",
        default_value = "cluster.toml",
        value_name = "PATH"
    )]
    pub file: PathBuf,
    /// How to answer: data goes to stdout, progress to stderr.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// Forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// For programs: one JSON document on stdout, events as JSON lines on stderr.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented spec to start from
    Init(InitArgs),
    /// Check the spec; touch nothing
    Validate,
    /// Show what `up` would do, and the proof that the network lets the cluster work
    Plan(PlanArgs),
    /// Launch and bootstrap what the spec asks for; does nothing where it is already so
    Up(Consent),
    /// Build the services, push their images, roll them out, check them through every node
    Deploy,
    /// Show the cluster: nodes, groups, services
    Status,
    /// Log in to a node, or run a command there
    Ssh(SshArgs),
    /// Print the cluster's kubeconfig
    Kubeconfig,
    /// Find out why something does not work
    Diagnose(DiagnoseArgs),
    /// Remove everything that `up` made, and prove that it is gone
    Down(Consent),
    /// The local EC2
    #[command(subcommand)]
    Lab(LabCommand),
    /// Say more about an error code
    Explain {
        /// e.g. KS-CRED
        code: String,
    },
    /// Print a shell's completions
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where the instances come from
    #[arg(long, value_enum, default_value_t = Kind::Lab)]
    pub provider: Kind,
    /// Cluster name
    #[arg(long, default_value = "books")]
    pub name: String,
}

/// `ProviderKind` as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The local EC2 inside this binary
    Lab,
    /// Amazon EC2
    Aws,
}

impl From<Kind> for ProviderKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Lab => ProviderKind::Lab,
            Kind::Aws => ProviderKind::Aws,
        }
    }
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Exit with 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Options of what asks before it acts.
#[derive(Debug, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Options of `ssh`.
#[derive(Debug, Args)]
pub struct SshArgs {
    /// Node name, as `status` shows it
    pub node: String,
    /// A command to run instead of a shell
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// Options of `diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// What does not work
    #[arg(value_enum)]
    pub subject: Subject,
    /// Apply the smallest change that mends it, then prove it
    #[arg(long)]
    pub fix: bool,
}

/// What can be diagnosed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// Name lookups from pods
    Dns,
}

/// Commands of the lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Start the local EC2; does nothing when it runs
    Start(LabStart),
    /// Stop it and remove all it made
    Stop,
    /// Show whether it runs, where, and what is in it
    Status,
    /// Check what this machine offers for it
    Doctor,
    /// Break something in the way people do, to practise or to test
    Break {
        /// What to break.
        #[arg(value_enum)]
        scenario: Scenario,
    },
    /// Undo `break`
    Repair {
        /// What to repair.
        #[arg(value_enum)]
        scenario: Scenario,
    },
    /// The process inside the lab's container
    #[command(hide = true)]
    Serve(LabServe),
}

/// Options of `lab start`.
#[derive(Clone, Debug, Args)]
pub struct LabStart {
    /// Folder of the bundle: packages, images and the machine image
    #[arg(long, env = "KUBESTRAP_BUNDLE", value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Loopback port of the EC2 endpoint
    #[arg(long, env = "KUBESTRAP_LAB_PORT", default_value_t = 4566)]
    pub port: u16,
    /// Range of the network between this machine and the lab; public addresses are taken from it
    #[arg(long, env = "KUBESTRAP_LAB_RANGE", default_value = "198.18.0.0/24")]
    pub range: ipnet::Ipv4Net,
    /// Let instances reach the internet through this machine
    #[arg(long)]
    pub internet: bool,
}

impl LabStart {
    /// What `lab start` without options means, the environment included.
    pub fn from_environment() -> Result<Self, clap::Error> {
        let matches =
            Self::augment_args(clap::Command::new("lab start")).try_get_matches_from(["lab start"])?;
        Self::from_arg_matches(&matches)
    }
}

/// Options of `lab serve`.
#[derive(Clone, Debug, Args)]
pub struct LabServe {
    /// Options as JSON, from `lab start`.
    pub options: String,
}

/// The incidents that can be practised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Members of the security group cannot reach each other
    Dns,
}
