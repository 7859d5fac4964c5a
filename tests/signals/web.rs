//! A web server that answers as it is told, in order, the last answer again and again, and remembers what it was asked.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use tokio::net::TcpListener;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200).body(body)
    }

    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One question.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    /// Path and query.
    pub path: String,
    pub headers: HeaderMap,
}

/// The server.
#[derive(Clone)]
pub struct Web {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// By path.
    answers: HashMap<String, VecDeque<Answer>>,
    asked: Vec<Asked>,
}

impl Web {
    pub async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let web = Self { address: socket.local_addr().expect("it is bound"), shared: Arc::default() };
        let router = Router::new().fallback(answer).with_state(web.shared.clone());
        tokio::spawn(async move { axum::serve(socket, router).await });
        web
    }

    /// What a path answers, in order.
    pub fn answers(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        let mut shared = self.shared.lock().unwrap();
        shared.answers.insert(path.to_owned(), answers.into_iter().collect());
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().unwrap().asked.clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response {
    let mut shared = shared.lock().unwrap();
    let path = request.uri().path().to_owned();
    shared.asked.push(Asked {
        at: Instant::now(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: request.headers().clone(),
    });
    let answers = shared.answers.get_mut(&path);
    let next =
        answers.and_then(|answers| if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() });
    let Some(next) = next else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().status(next.status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in next.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(next.body)).unwrap()
}
