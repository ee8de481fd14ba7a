package agentbay

import "time"

// A TakeOver is what happens to the agent's input while a person has control of
// a session's screen.
type TakeOver string

// What can happen to it.
const (
	RefuseInput     TakeOver = "refuse"
	WaitForHandBack TakeOver = "wait" // calls wait until control is handed back
)

// A HelpState is how far a request for help is.
type HelpState string

// The states of a request for help.
const (
	HelpOpen  HelpState = "open"  // nobody has taken control yet
	HelpTaken HelpState = "taken" // somebody is at it
	HelpDone  HelpState = "done"  // they have handed back, or it was answered
)

// A HelpKind is what people are asked to do.
type HelpKind string

// What they can be asked to do.
const (
	HelpOther   HelpKind = "" // as the message says
	HelpCaptcha HelpKind = "captcha"
	HelpLogin   HelpKind = "login"
	HelpPayment HelpKind = "payment"
)

// A Help is an agent's request to the people at a session's screen.
type Help struct {
	ID      string
	Kind    HelpKind
	Message string
	State   HelpState
	Note    string // what was said when control was handed back, or the request answered
	AskedAt time.Time
	Wait    time.Duration // how long the agent waits; 0 if it has not said
}

// A Control says who is at a session's screen.
type Control struct {
	Viewers int       // people who look at it
	Held    bool      // one of them has control, and the agent's input is refused
	Since   time.Time // of that; zero if nobody has
	Help    []Help    // what was asked of them, oldest first
	History []ControlEvent
}

// A ControlEvent is somebody taking control, or giving it up.
type ControlEvent struct {
	At      time.Time
	Kind    string // taken, handed back, or gone: their connection was
	Address string // where they are
	Note    string // what they said when they handed back
	Held    time.Duration
}
