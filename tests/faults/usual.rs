//! How often an operator makes such a request on a path without faults. A fault at a request that is never
//! made is no fault.

use super::{call::Call, paths::Path};

/// As it was counted: `GetAction`, `ActionEvent`, `WriteStatus`, `CreatePod`, `GetPod`, `PodEvent`,
/// `PatchPod`, `DeletePod`, `ReadLog`, `WriteEvent`. The least, if it is a matter of chance.
const fn counted(path: Path) -> [usize; 10] {
    match path {
        Path::Success | Path::TimeoutRunning => [1, 4, 3, 1, 0, 7, 1, 0, 1, 2],
        Path::Failure => [1, 4, 3, 1, 0, 6, 1, 0, 1, 2],
        Path::RetryFailed => [2, 7, 6, 2, 0, 13, 2, 0, 2, 3],
        Path::RetryNeverStarted => [6, 7, 6, 2, 1, 14, 2, 1, 2, 2],
        Path::CancelPending => [5, 5, 3, 1, 1, 7, 1, 1, 2, 1],
        Path::CancelRunning => [1, 5, 4, 1, 0, 9, 3, 0, 1, 2],
        Path::Correct => [6, 9, 6, 2, 1, 14, 2, 1, 3, 2],
        Path::TimeoutPending => [4, 4, 3, 1, 0, 7, 1, 1, 1, 1],
        Path::Rerun => [2, 7, 5, 2, 0, 14, 2, 0, 2, 3],
        Path::Change => [2, 8, 6, 2, 0, 14, 2, 0, 2, 4],
        Path::Deletion => [2, 3, 2, 1, 0, 8, 1, 0, 1, 1],
        // Whether it still asks for a pod is chance.
        Path::DeletionEarly => [1, 3, 1, 1, 0, 0, 0, 0, 0, 0],
        Path::Again => [4, 8, 6, 2, 0, 17, 3, 0, 2, 2],
        Path::Suspended => [1, 6, 4, 1, 0, 6, 1, 0, 1, 2],
        Path::Restored => [1, 6, 5, 1, 0, 7, 1, 0, 1, 2],
        Path::PodRemoved => [1, 4, 3, 1, 0, 9, 1, 0, 1, 2],
        Path::Lock => [2, 14, 12, 2, 0, 13, 2, 0, 2, 4],
    }
}

impl Path {
    /// How often operator A asks so, or is told so, where nothing goes wrong.
    pub(crate) const fn usual(self, call: Call) -> usize {
        let of = counted(self);
        match call {
            Call::GetAction => of[0],
            Call::ActionEvent => of[1],
            Call::WriteStatus => of[2],
            Call::CreatePod => of[3],
            Call::GetPod => of[4],
            Call::PodEvent => of[5],
            Call::PatchPod => of[6],
            Call::DeletePod => of[7],
            Call::ReadLog => of[8],
            Call::WriteEvent => of[9],
            Call::ListActions | Call::WatchActions | Call::ListPods | Call::WatchPods => 1,
            Call::ReadEvents => match self {
                Self::RetryNeverStarted => 2,
                Self::CancelRunning | Self::Correct | Self::TimeoutPending => 1,
                _ => 0,
            },
            Call::ReadLock if matches!(self, Self::Lock) => 4,
            Call::WriteLock if matches!(self, Self::Lock) => 8,
            Call::ReadLock | Call::WriteLock => 0,
            Call::Lease => 2,
            Call::Other => 8,
        }
    }
}
