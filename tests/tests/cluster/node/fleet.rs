//! Three nodes on the same servers, of which two share the sending; any of them is killed, frozen or
//! stopped: a small run of what
//! `kill --only nodes` does for long.

use tests::backends::servers;
use tests::kill::figures::Figures;
use tests::kill::fleet;
use tests::world::{Keeping, Plan};

use super::{machine, plan, told};

/// Recipients of the campaign.
const RECIPIENTS: u32 = 1_000;

/// How often one of the nodes is disturbed.
const DISTURBANCES: u32 = 3;

#[test]
fn a_campaign_survives_whatever_becomes_of_three_nodes() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, mut ground, _) = plan(cassandra, kafka, "fleet");
    ground.kafka.owners = fleet::owners();
    let plan = Plan {
        keeping: Keeping::OnServers(Box::new(ground.clone())),
        ..plan
    };
    let mut figures = Figures::default();
    fleet::run(plan, &ground, RECIPIENTS, DISTURBANCES, &mut figures);
    told(&figures);
}
