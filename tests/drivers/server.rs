//! A web server that answers as it is told and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use tokio::net::TcpListener;

/// One call.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// The server.
#[derive(Clone)]
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub async fn start<R, F>(answer: F) -> Self
    where
        R: IntoResponse,
        F: Fn(&Asked) -> R + Clone + Send + Sync + 'static,
    {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::on(socket, answer)
    }

    pub fn on<R, F>(socket: TcpListener, answer: F) -> Self
    where
        R: IntoResponse,
        F: Fn(&Asked) -> R + Clone + Send + Sync + 'static,
    {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let server = Self { port: socket.local_addr().expect("it is bound").port(), asked: asked.clone() };
        let handle = move |request: Request| {
            let (answer, asked) = (answer.clone(), asked.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.expect("a body");
                let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
                let body = String::from_utf8(body.to_vec()).expect("a text");
                let one = Asked { method: parts.method, path, headers: parts.headers, body };
                let answer: Response = answer(&one).into_response();
                asked.lock().unwrap().push(one);
                answer
            }
        };
        tokio::spawn(async move { axum::serve(socket, Router::new().fallback(handle)).await });
        server
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn last(&self) -> Asked {
        self.asked().pop().expect("it was asked")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
