//! The suite that every engine passes.
//!
//! An engine's tests implement [`Maker`] and call [`run`]. Each case gets an engine of its own, and a
//! failure names the case. The last one is a property: whatever is done to the engine, it answers as
//! a plain ordered map would.

mod clearing;
mod property;
mod reading;
mod support;
mod writing;

use std::{future::Future, path::Path, pin::Pin, sync::Arc};

use crate::Engine;

/// Makes engines of the kind under test.
pub trait Maker {
    /// A new, empty one, which shares nothing with others.
    fn create(&self) -> Arc<dyn Engine>;

    /// Opens what [`Engine::checkpoint`] wrote.
    fn open(&self, checkpoint: &Path) -> Arc<dyn Engine>;

    /// How many random histories the property runs through; fewer where an engine syncs.
    fn history_count(&self) -> u32 {
        128
    }
}

type Case = (&'static str, fn(Arc<dyn Engine>) -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! cases {
    ($($module:ident: $($name:ident)*;)*) => {
        &[$($((stringify!($name), |engine| Box::pin($module::$name(engine))),)*)*]
    };
}

const CASES: &[Case] = cases! {
    reading:
        a_get_visits_its_key_whether_it_is_there_or_not
        a_scan_visits_keys_in_the_order_of_their_bytes
        a_descending_scan_visits_the_same_rows_backwards
        bounds_are_kept_in_both_directions
        a_range_that_can_hold_nothing_visits_nothing
        prefixes_of_ff_have_an_end
        steps_are_run_in_order_and_numbered
        following_visits_another_key_before_going_on
        following_can_be_chained_and_meet_absent_keys
        next_step_leaves_out_the_rest_of_a_scan
        stop_ends_the_plan
        a_pause_resumes_after_the_row_that_asked_for_it
        a_scan_goes_on_from_the_key_that_is_sought
        seeking_stays_between_the_bounds
        a_followed_key_can_ask_to_seek_and_a_get_cannot
        a_slice_that_ends_at_a_jump_resumes_where_it_leads
        a_pause_between_gets_resumes_at_the_next_one
        a_slice_ends_when_its_bytes_are_used_up
        many_gets_are_cut_into_slices
        every_slice_visits_a_row_however_large
        an_empty_plan_is_done
        a_view_is_consistent_while_others_write
        reads_can_be_dropped_at_any_time;
    writing:
        a_batch_is_there_once_it_is_committed
        the_later_of_two_operations_on_a_key_counts
        an_empty_batch_is_committed
        deleting_what_is_absent_is_no_error
        the_first_precondition_that_does_not_hold_is_named
        a_refused_batch_applies_nothing
        an_empty_value_is_not_an_absent_one
        preconditions_see_every_earlier_batch
        a_batch_that_fails_leaves_its_neighbours_alone
        both_urgencies_are_served
        keys_and_values_of_extreme_lengths_are_kept
        illegal_lengths_are_not_applied
        a_batch_of_many_operations_is_one
        a_dropped_commit_is_applied_whole_or_not_at_all;
    clearing:
        clearing_takes_the_range_and_nothing_else
        clearing_goes_on_until_nothing_is_left
        clearing_an_empty_range_is_done
        figures_follow_what_is_stored;
};

/// Runs every case; panics at the first that fails, after printing its name.
pub fn run(maker: &dyn Maker) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test can start threads");
    for (name, case) in CASES {
        let _named = support::NamedOnPanic(name);
        runtime.block_on(case(maker.create()));
    }
    {
        let _named = support::NamedOnPanic("a_checkpoint_opens_as_a_store");
        runtime.block_on(clearing::a_checkpoint_opens_as_a_store(maker));
    }
    let _named = support::NamedOnPanic("an_engine_answers_as_an_ordered_map_would");
    property::an_engine_answers_as_an_ordered_map_would(&runtime, maker);
}
