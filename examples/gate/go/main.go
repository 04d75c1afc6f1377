// An integration with Tallyport's gate in Go, with nothing but the standard library, as `tallyport gate check` tries it:
//
//	go run . 9401 &
//	tallyport gate check http://127.0.0.1:9401/
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

const (
	longestWaitSeconds = 60
	answerTime         = 10 * time.Second
	maxAnswerBytes     = 1 << 20
)

var errNotAllowed = errors.New("not allowed")

// Gate asks over HTTP. Whatever goes wrong is an error, and an error means: do not perform the action.
type Gate struct {
	URL      string
	Token    string
	Patience time.Duration
	client   http.Client
}

type decision struct {
	RequestID string  `json:"request_id"`
	Decision  *string `json:"decision"`
}

func newGate(url, token string, patience time.Duration) *Gate {
	return &Gate{URL: url, Token: token, Patience: patience, client: http.Client{
		// A redirect is no decision, and the token is not for others.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Ask returns nil only if the action is allowed. id must be the action's own: asking again is the same request.
func (g *Gate) Ask(id string, action json.RawMessage, wait time.Duration) error {
	until := time.Now().Add(wait)
	for {
		seconds := int(time.Until(until).Seconds())
		seconds = max(0, min(seconds, longestWaitSeconds))
		path := fmt.Sprintf("/v1/billable-actions?wait_seconds=%d", seconds)
		body, err := g.insist(path, action, time.Duration(seconds)*time.Second+answerTime)
		if err != nil {
			return err
		}
		var said decision
		if err := json.Unmarshal(body, &said); err != nil {
			return err
		}
		switch {
		case said.RequestID != id:
			return fmt.Errorf("the answer is about %q", said.RequestID)
		case said.Decision != nil && *said.Decision == "allowed":
			return nil
		case said.Decision != nil:
			return fmt.Errorf("%w: %s", errNotAllowed, *said.Decision)
		case seconds == 0 || time.Now().After(until):
			return fmt.Errorf("%w: nobody has answered yet", errNotAllowed)
		}
	}
}

// Report tells what became of an action that was allowed: "performed" or "failed".
func (g *Gate) Report(id, outcome, detail string) error {
	body, err := json.Marshal(map[string]string{"outcome": outcome, "detail": detail})
	if err != nil {
		return err
	}
	_, err = g.insist("/v1/billable-actions/"+url.PathEscape(id)+"/outcome", body, answerTime)
	return err
}

func (g *Gate) insist(path string, body []byte, timeout time.Duration) ([]byte, error) {
	until := time.Now().Add(g.Patience + timeout)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		answer, status, retryAfter, err := g.send(path, body, timeout)
		if err == nil && !tryAgain(status) {
			if status != http.StatusOK && status != http.StatusAccepted {
				return nil, fmt.Errorf("%w: the gate answered %d", errNotAllowed, status)
			}
			return answer, nil
		}
		wait := time.Duration(float64(pause) * (0.5 + rand.Float64()/2))
		if retryAfter > 0 {
			wait = retryAfter
		}
		if time.Now().Add(wait).After(until) {
			return nil, fmt.Errorf("the gate does not decide: status %d, %v", status, err)
		}
		time.Sleep(wait)
	}
}

func (g *Gate) send(path string, body []byte, timeout time.Duration) ([]byte, int, time.Duration, error) {
	request, err := http.NewRequest(http.MethodPost, g.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+g.Token)
	request.Header.Set("Content-Type", "application/json")
	client := g.client
	client.Timeout = timeout
	answer, err := client.Do(request)
	if err != nil {
		return nil, 0, 0, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return content, answer.StatusCode, time.Duration(min(max(seconds, 0), 60)) * time.Second, err
}

func tryAgain(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// ---- the service around it

type order struct {
	GateURL         string          `json:"gate_url"`
	Token           string          `json:"token"`
	Action          json.RawMessage `json:"action"`
	WaitSeconds     int             `json:"wait_seconds"`
	PatienceSeconds int             `json:"patience_seconds"`
	Fail            bool            `json:"fail"`
}

func createUser(fail bool) error {
	if fail {
		return errors.New("the user exists already")
	}
	return nil
}

func handle(o order) bool {
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(o.Action, &named); err != nil {
		return false
	}
	gate := newGate(o.GateURL, o.Token, time.Duration(o.PatienceSeconds)*time.Second)
	if err := gate.Ask(named.ID, o.Action, time.Duration(o.WaitSeconds)*time.Second); err != nil {
		log.Printf("%s: not performed: %v", named.ID, err)
		return false
	}
	outcome, detail := "performed", ""
	if err := createUser(o.Fail); err != nil {
		outcome, detail = "failed", err.Error()
	}
	if err := gate.Report(named.ID, outcome, detail); err != nil {
		log.Printf("%s: %s, and the gate was not told: %v", named.ID, outcome, err)
	}
	return outcome == "performed"
}

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]bool{"performed": handle(o)})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
