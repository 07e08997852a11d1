"""Broken plugins, each with one fault that authors make by mistake, for the contract suites to find.

They were written from the contract alone, without a look at the suites.  ``PLANTED`` names each suite's faults in
words, ``SOUND`` its unbroken twin, ``ALSO_SOUND`` unbroken plugins of another build: a suite that fails one of these
asks for more than the contract does.  All are called without arguments; caches also take ``path``, ``ttl`` and
``max_bytes`` (those in memory no ``path``), retry policies ``attempts``, ``base``, ``cap`` and ``max_wait`` (seconds),
text filters ``word`` and ``replacement``, state stores ``clock``, plugins ``path``.

Caches make a file of their own when no path is given.  State stores offer themselves as the StateStore and take the
clock of the host that opens them.  Observers keep ``lines``, one for each request.  The Desk writes ``path`` when its
host closes.  test_planted_are_real.py shows of each fault that it is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import planted_cache as cache
import planted_cache_faults as broken_cache
import planted_observer as observer
import planted_plugin as plugin
import planted_retry as retry
import planted_state as state
import planted_state_faults as broken_state
import planted_text as text
from planted_global import CountsForAll
from planted_pickle import Pickles

PLANTED: dict[str, dict[str, Callable[..., object]]] = {
    "CacheContract": {
        "goes by the machine's clock": broken_cache.WallClock,
        "ignores its ttl": broken_cache.NeverOld,
        "ignores the end that the entry names": broken_cache.OwnTimeOnly,
        "prolongs an answer's life with every hit": broken_cache.Renews,
        "says of every answer that it is new": broken_cache.AlwaysNew,
        "gives late answers unasked": broken_cache.AlwaysLate,
        "gives answers later than was asked for": broken_cache.AsLateAsKept,
        "gives answers later than they may be kept": broken_cache.AsLateAsWished,
        "drops late answers when it tidies up": broken_cache.TidiesTooWell,
        "takes the conversation for the key": broken_cache.ByConversation,
        "loses the events of a stream": broken_cache.OnePiece,
        "ignores its byte cap": broken_cache.NoCap,
        "invalidates a tag in every scope": broken_cache.EveryTenant,
        "invalidates nothing when asked for everything": broken_cache.NeedsAWish,
        "raises on a damaged file": broken_cache.NotHardened,
        "loses one of two stores at a time": broken_cache.LosesUpdates,
        "walks through a dict that other threads change": broken_cache.ChangesWhileItLooks,
        "gives one thread the answer of another": broken_cache.KeyOnSelf,
    },
    "RetryPolicyContract": {
        "ignores the server's wait": retry.DeafToTheServer,
        "shortens the server's wait to its own cap": retry.CapsTheServer,
        "sleeps itself": retry.SleepsItself,
        "waits less than no time": retry.JitterAroundNothing,
        "believes any wait of the server's": retry.BelievesAnything,
        "repeats what cannot succeed": retry.RepeatsEverything,
        "repeats when the quota is spent": retry.RepeatsQuota,
        "counts attempts on itself": retry.CountsOnItself,
        "never stops": retry.NeverStops,
        "ignores the deadline": retry.NoDeadline,
        "repeats what was partly delivered": retry.RepeatsWhatWasSaid,
    },
    "TextFilterContract": {
        "misses a word cut in two": text.PieceByPiece,
        "misses a word cut in three": text.TwoPiecesOnly,
        "loses held text at the end": text.NeverFinal,
        "holds text back at the end": text.HoldsAtTheEnd,
        "gives held text twice": text.SaysItTwice,
        "mixes the answers of one call": text.OneBuffer,
        "gives held text to the first answer": text.FirstChoice,
        "mixes two streams": text.BufferOnSelf,
        "loses held text when the stream breaks": text.LosesWhatBroke,
        "ignores answers in one piece": text.StreamsOnly,
        "ignores all answers in one piece but the first": text.FirstOfSeveral,
        "finds less in one piece than in a stream": text.FirstMatch,
    },
    "StateStoreContract": {
        "looks for room and takes it later": broken_state.LooksThenTakes,
        "counts by reading and writing": broken_state.ReadsThenWrites,
        "swaps by comparing and putting": broken_state.SwapsThenPuts,
        "swaps over a value where none was expected": broken_state.ExpectsNothing,
        "refunds twice": broken_state.RefundsAgain,
        "settles twice": broken_state.SettlesAgain,
        "settles no more than was reserved": broken_state.NeverMoreThanReserved,
        "never lets a value expire": broken_state.ValuesStay,
        "never lets a reservation expire": broken_state.HeldForEver,
        "prolongs a counter with every addition": broken_state.CountsOn,
        "goes by the machine's clock": broken_state.WallClock,
        "never lets a lease expire": broken_state.LeaseForLife,
        "gives one place to two holders": broken_state.OneTooMany,
        "refuses to renew a lease": broken_state.NoRenewal,
        "releases the lease of another": broken_state.AnybodyReleases,
    },
    "ObserverContract": {
        "raises in observe": observer.AllAreHooks,
        "breaks an answer without usage": observer.NeedsUsage,
        "loses the record of what had no status": observer.NeedsStatus,
        "blocks at every event": observer.PostsEachEvent,
        "waits before it records": observer.WaitsForTheCollector,
        "empties the trace": observer.TidiesTheTrace,
        "throws away the notes of others": observer.NewStash,
        "changes the request in place": observer.CleansParams,
        "hands on copies of chunks": observer.HandsOnCopies,
        "keeps every answer": observer.KeepsAll,
        "records a request twice": observer.CountsTwice,
        "swallows cancellation": observer.SwallowsCancel,
    },
    "PluginContract": {
        "shares state between hosts": CountsForAll,
        "pickles": Pickles,
        "breaks on a body that is not JSON": plugin.TrustsTheBody,
        "breaks on a message without words": plugin.NeedsAFirstWord,
        "breaks on blocks that are not text": plugin.AllAreText,
        "breaks on half a surrogate pair": plugin.Encodes,
        "loses a lease when it is cancelled": plugin.NotesTooLate,
        "keeps the current request on itself": plugin.CurrentOnSelf,
        "works on asyncio only": plugin.AsyncioOnly,
        "says inline and awaits": plugin.NotInline,
        "passes notes in a thread-local": plugin.InAThreadLocal,
        "works only until it is closed": plugin.OpensOnce,
        "has a setting without default": partial(plugin.NoDefault, limit=1000),
        "has a setting without doc": plugin.NoDoc,
    },
}

SOUND: dict[str, Callable[..., object]] = {
    "CacheContract": cache.FileCache,
    "RetryPolicyContract": retry.Policy,
    "TextFilterContract": text.Hide,
    "StateStoreContract": state.Store,
    "ObserverContract": observer.Watcher,
    "PluginContract": plugin.Desk,
}

ALSO_SOUND: dict[str, dict[str, Callable[..., object]]] = {
    "CacheContract": {"in memory, async def": cache.InMemory},
    "RetryPolicyContract": {"async def": retry.AsyncPolicy},
    "TextFilterContract": {"written by hand": text.ByHand},
}
